"""Which experiments run in this process, and which of them is meant."""

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakKeyDictionary

from steelyard.app.track.exiting import ending, leave_exit, watch_exit


class Running(Protocol):
    """What is asked of an experiment here."""

    @property
    def is_running(self) -> bool:
        """True between start and stop."""
        ...

    def stop(self, status: str = ..., error: BaseException | None = None) -> None:
        """End it."""


_current: ContextVar[Running | None] = ContextVar("steelyard_experiment", default=None)
_running: list[Running] = []
_before: WeakKeyDictionary[Running, Running | None] = WeakKeyDictionary()
_lock = threading.Lock()
_atexit_pid = 0


def enter(experiment: Running) -> None:
    """Make an experiment the active one of this thread or task, and the latest of the process."""
    global _atexit_pid  # noqa: PLW0603  once per process, whoever starts the first
    with _lock:
        _running.append(experiment)
        if _atexit_pid != os.getpid():
            _atexit_pid = os.getpid()
            atexit.register(_end_all, _atexit_pid)
        _before[experiment] = _current.get()
        watch_exit()
    _current.set(experiment)


def leave(experiment: Running) -> bool:
    """Take an experiment out; return False when somebody did before."""
    with _lock:
        if experiment not in _running:
            return False
        _running.remove(experiment)
        if not _running:
            leave_exit()
        return True


def restore(experiment: Running) -> None:
    """Make the one active in this thread or task that was so before `experiment` was."""
    if _current.get() is experiment:
        _current.set(_before.get(experiment))


@contextmanager
def within(experiment: Running | None) -> Iterator[None]:
    """Have an experiment be the active one of this thread or task, and what was so be so again."""
    token = _current.set(experiment)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Running | None:
    """Return the experiment that this thread or task entered last, whether it runs or not."""
    return _current.get()


def active() -> Running | None:
    """Return the experiment started last in this thread or task; else in this process; or None."""
    current = _current.get()
    if current is not None and current.is_running:
        return current
    with _lock:
        return _running[-1] if _running else None


def _end_all(pid: int) -> None:
    """End what still runs when the interpreter ends: failed when an exception ended it."""
    if os.getpid() != pid:
        return
    error = ending()
    for experiment in reversed(list(_running)):
        experiment.stop(error=error)


def _after_fork() -> None:
    # A thread that is no more may have held it.
    global _lock  # noqa: PLW0603  see above
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
