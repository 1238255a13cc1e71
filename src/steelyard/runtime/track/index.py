"""The query face: a DuckDB file made from the runs' journals, replaced whole, never changed.

Readers open the file that is there and keep it, whatever is put in its place meanwhile; so they
wait for nobody. A process that finds it stale makes a new one beside it and renames that, taking
over what did not change; while another process is at that, the one that is there will do.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from steelyard.domain.track.events import MetricsLogged
from steelyard.domain.track.run import RunFold, Status, settle
from steelyard.kernel.errors import FileError, JournalError
from steelyard.runtime.files import atomic_path, next_step_of, reason_of
from steelyard.runtime.track.bench_runs import read_bench_run
from steelyard.runtime.track.index_tables import VERSION, IndexWriter
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.reader import facts_of, has_writer

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def connect(path: Path, *, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Open an index; nothing that runs in it reaches for the network."""
    return duckdb.connect(str(path), read_only=read_only, config=_CONFIG)


@contextlib.contextmanager
def opened(store: Store) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to the index, brought up to date before.

    Where the store can't be written, or there is none and no run either, the index is a private one
    that goes afterwards: looking changes nothing.

    Raises:
        FileError: it can't be written.
    """
    with _interruptible(), _up_to_date(store) as path:
        connection = connect(path)
        try:
            yield connection
        finally:
            connection.close()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C is heard by DuckDB first, which says so in its own words.

    Raises:
        KeyboardInterrupt: that is what it was.
    """
    try:
        yield
    except (RuntimeError, duckdb.InterruptException) as error:
        if "interrupted" not in str(error).lower():
            raise
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def _up_to_date(store: Store) -> Iterator[Path]:
    is_there = store.root.is_dir()
    if os.access(store.root, os.W_OK) if is_there else next(store.places(), None) is not None:
        refresh(store)
        yield store.index
        return
    with tempfile.TemporaryDirectory(prefix="steelyard-index-") as directory:
        path = Path(directory) / store.index.name
        _build(path, [(place, place.fingerprint()) for place in store.places()], [], over=False)
        yield path


def refresh(store: Store, *, anew: bool = False) -> int:
    """Bring the index up to date; return how many runs were read for it.

    Args:
        store: the runs.
        anew: read all of them, whatever is known.

    Raises:
        FileError: the index can't be written.
    """
    known = {} if anew else _known(store.index)
    places = {str(place.path): (place, place.fingerprint()) for place in store.places()}
    gone = [directory for directory in known if directory not in places]
    stale = [
        (place, fingerprint)
        for directory, (place, fingerprint) in places.items()
        if _is_stale(place, fingerprint, known.get(directory))
    ]
    if not gone and not stale and not anew and store.index.is_file():
        return 0
    with _builder(store) as may_build:
        if may_build:
            _build(store.index, stale, gone, over=bool(known))
    return len(stale)


def _known(index: Path) -> dict[str, tuple[str, str]]:
    """Return fingerprint and status of each directory in the index; nothing of another version."""
    if not index.is_file():
        return {}
    try:
        connection = connect(index)
    except duckdb.Error:
        return {}  # not an index, or one of another DuckDB: it is made anew
    try:
        if connection.execute("SELECT version FROM meta").fetchall() != [(VERSION,)]:
            return {}
        rows = connection.execute(
            "SELECT directory, fingerprint, status FROM run_rows "
            "UNION ALL SELECT directory, fingerprint, 'problem' FROM problems"
        ).fetchall()
    except duckdb.Error:
        return {}
    finally:
        connection.close()
    return {directory: (fingerprint, status) for directory, fingerprint, status in rows}


def _is_stale(place: RunPlace, fingerprint: str, known: tuple[str, str] | None) -> bool:
    if known is None or known[0] != fingerprint:
        return True
    # A killed run looks as it did when it ran: only its lock is gone.
    return known[1] == Status.RUNNING and not has_writer(place.journal)


@contextlib.contextmanager
def _builder(store: Store) -> Iterator[bool]:
    """Yield True to the one process that builds; to others False, once there is an index."""
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(store.root / "index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise FileError(
            f"Can't write {store.root}: {reason_of(error)}", next_step=next_step_of(error)
        ) from error
    try:
        wait = 0 if not store.index.is_file() else fcntl.LOCK_NB
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | wait)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _build(target: Path, stale: list[tuple[RunPlace, str]], gone: list[str], *, over: bool) -> None:
    for left in target.parent.glob(f".{target.stem}.*.tmp{target.suffix}*"):
        left.unlink(missing_ok=True)  # one builds at a time: who began this one was killed
    with atomic_path(target) as temporary:
        if over:
            shutil.copyfile(target, temporary)
        try:
            _fill(temporary, stale, gone, over=over)
        except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
            # In DuckDB's words that is a long way to say that the disk is full.
            why = str(error).strip().partition("\n")[0]
            raise FileError(
                f"Can't write the index {target}: {why}",
                next_step="Free some space; the runs themselves are whole.",
            ) from error


def _fill(path: Path, stale: list[tuple[RunPlace, str]], gone: list[str], *, over: bool) -> None:
    connection = connect(path, read_only=False)
    try:
        connection.execute("BEGIN")
        writer = IndexWriter(connection, is_new=not over)
        writer.remove([*gone, *(str(place.path) for place, _ in stale)])
        for place, fingerprint in stale:
            _add(writer, place, fingerprint)
        writer.finish()
        connection.execute("COMMIT")
    finally:
        connection.close()


def _add(writer: IndexWriter, place: RunPlace, fingerprint: str) -> None:
    number = writer.begin()
    try:
        if place.is_bench:
            run = read_bench_run(place)
            for name, series in run.metrics.items():
                writer.point(number, name, 0, series.last, run.last_ns)
        else:
            fold = RunFold(place.path.name, with_metrics=False)
            for fact, event in facts_of(place):
                if isinstance(fact, MetricsLogged):
                    for name, value in fact.values.items():
                        writer.point(number, name, fact.step, value, event.wall_ns)
                fold.run.run_id, fold.run.host_id = event.run_id, event.host_id
                fold.apply(fact, event.wall_ns)
            run = settle(fold.run, has_writer=has_writer(place.journal))
    except JournalError as error:
        writer.problem(str(place.path), fingerprint, str(error))
        return
    writer.run(number, run, str(place.path), fingerprint)


def problems(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Return the directories that look like runs and can't be read, with why."""
    return connection.execute(
        "SELECT directory, problem FROM problems ORDER BY directory"
    ).fetchall()
