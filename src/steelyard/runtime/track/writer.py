"""Writes a run's facts into its journal, from any thread and any forked child."""

import logging
import os
import threading
import weakref
from typing import Any

from steelyard.domain.track.events import METRICS_TYPE, TYPES, Fact, payload_of
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import JournalError
from steelyard.runtime.files import reason_of
from steelyard.runtime.journal_writer import FsyncPolicy, JournalWriter
from steelyard.runtime.track.layout import MAIN_STREAM, STORE_VARIABLE, RunPlace

_log = logging.getLogger("steelyard.track")
_writers: "weakref.WeakSet[RunWriter]" = weakref.WeakSet()


class RunWriter:
    """The journal of one run, opened by the process that started it.

    Every fact reaches the operating system before the call returns, so that a run that is killed
    keeps all it logged; syncing to disk is another thread's work. A forked child writes a stream of
    its own. What can't be written is counted and told once: a full disk must not end a training.

    Raises:
        JournalError: the journal can't be begun, or the run has a writer.
    """

    def __init__(
        self, place: RunPlace, run_id: str, clock: Clock, *, fsync: FsyncPolicy = "interval"
    ) -> None:
        self.place = place
        self.run_id = run_id
        self.unwritten = 0
        self._clock = clock
        self._fsync = fsync
        self._lock = threading.Lock()
        self._is_child = False
        self._journal: JournalWriter | None = self._open(MAIN_STREAM)
        _writers.add(self)

    @property
    def is_child(self) -> bool:
        """True in a process that was forked from the one that opened the run."""
        return self._is_child

    def write(self, fact: Fact) -> bool:
        """Append a fact; return False when it could not be written."""
        return self._append(TYPES[type(fact)], payload_of(fact))

    def metrics(self, step: int, values: dict[str, float], source: str | None = None) -> bool:
        """Append values of metrics; as `write`, without making an object for it."""
        payload: dict[str, Any] = {"step": step, "values": values}
        if source is not None:
            payload["source"] = source
        return self._append(METRICS_TYPE, payload)

    def close(self) -> None:
        """Let go of the journal; a second call does nothing."""
        with self._lock:
            journal, self._journal = self._journal, None
        if journal is not None:
            try:
                journal.close()
            except JournalError as error:
                _log.warning("Run %s: %s", self.run_id, error)
        _writers.discard(self)

    def _open(self, stream: str) -> JournalWriter:
        try:
            self.place.journal.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(
                f"Can't make {self.place.journal}: {reason_of(error)}",
                expected="a store of runs that can be written",
                next_step=f"Set {STORE_VARIABLE}, or pass directory=, to name another.",
            ) from error
        return JournalWriter(
            self.place.journal, stream, run_id=self.run_id, clock=self._clock, fsync=self._fsync
        )

    def _append(self, type: str, payload: dict[str, Any]) -> bool:
        try:
            journal = self._journal
            if journal is None:
                journal = self._open_in_child()
            journal.event(type, payload)
        except JournalError as error:
            self.unwritten += 1
            if self.unwritten == 1:
                _log.warning("Run %s goes on, but loses what it logs: %s", self.run_id, error)
            return False
        return True

    def _open_in_child(self) -> JournalWriter:
        with self._lock:
            if not self._is_child:
                message = f"Run {self.run_id} has ended"
                raise JournalError(message, next_step="Log before the run is stopped.")
            if self._journal is None:
                self._journal = self._open(f"child-{os.getpid()}")
            return self._journal

    def _after_fork(self) -> None:
        """Let go of the parent's file; the lock may have been held by a thread that is no more."""
        self._lock = threading.Lock()
        self._is_child = True
        self.unwritten = 0
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.abandon()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._after_fork()  # noqa: SLF001  the same module


os.register_at_fork(after_in_child=_after_fork_in_child)
