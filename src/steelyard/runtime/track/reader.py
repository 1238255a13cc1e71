"""Reads runs from their journals."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steelyard.domain.track.events import Fact, fact_of
from steelyard.domain.track.run import Run, RunFold, settle
from steelyard.kernel.errors import JournalError
from steelyard.kernel.events import Event
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.journal_writer import SUFFIX
from steelyard.runtime.track.layout import MAIN_STREAM, RunPlace


def has_writer(directory: Path) -> bool:
    """Tell whether a process on this host holds a journal file in `directory` open for writing.

    The kernel gives a writer's lock back when its process ends, however it ends.
    """
    files = sorted(directory.glob(f"*{SUFFIX}"), key=lambda f: f.stem != MAIN_STREAM)
    return any(_is_locked(file) for file in files)


def _is_locked(file: Path) -> bool:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def events_of(place: RunPlace) -> Iterator[Event]:
    """Yield the events of a run in order.

    Raises:
        JournalError: there is no journal, or it can't be read.
    """
    reader = JournalReader(place.journal)
    streams = reader.streams()
    # One stream is in order already; a merge costs half as much again.
    return reader.events(streams[0]) if len(streams) == 1 else reader.events()


def read_fact(event: Event) -> Fact | None:
    """Return the fact that an event holds; None for an event of another kind.

    Raises:
        JournalError: this version can't read it.
    """
    try:
        return fact_of(event.type, event.payload)
    except msgspec.ValidationError as error:
        raise JournalError(
            f"The journal of run {event.run_id} has an event that this version can't read",
            got=f"{event.type}: {error}",
        ) from error


def facts_of(place: RunPlace) -> Iterator[tuple[Fact, Event]]:
    """Yield the facts of a tracked run with the events that hold them.

    Raises:
        JournalError: there is no journal, it can't be read, or it holds what this version can't.
    """
    for event in events_of(place):
        fact = read_fact(event)
        if fact is not None:
            yield fact, event


def read_run(place: RunPlace) -> Run:
    """Return a tracked run as its journal tells it.

    Raises:
        JournalError: as `facts_of`.
    """
    fold = RunFold(place.path.name)
    for fact, event in facts_of(place):
        fold.run.run_id = event.run_id
        fold.run.host_id = event.host_id
        fold.apply(fact, event.wall_ns)
    return settle(fold.run, has_writer=has_writer(place.journal))
