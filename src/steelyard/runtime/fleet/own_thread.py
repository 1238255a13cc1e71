"""A thread of its own for what may hang: nothing else waits there, not even the process's end."""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from steelyard.kernel.errors import SteelyardError

T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]


class OwnThread:
    """Does one thing after another, in a daemon thread that begins with the first of them.

    No executor: the interpreter waits at its end for the threads of those, for ever where one
    hangs. Whoever forgets this ends the thread, once what it is at has come to an end.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._jobs.put, None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have `call` done when its turn comes; it raises SteelyardErrors and nothing else."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=_work, args=(self._jobs,), name=self._name, daemon=True
            )
            self._thread.start()
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # nobody takes it back who waits no more
        self._jobs.put((future, call))
        return future

    def close(self) -> None:
        """End the thread after what it was given; it is not waited for."""
        self._jobs.put(None)


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        try:
            future.set_result(call())
        except SteelyardError as error:
            future.set_exception(error)
        finally:
            if not future.done():  # the thread ends with what was raised; who waits is told
                future.set_exception(SteelyardError("What was asked ended the thread it ran in"))
            del job, future, call  # nothing is kept while the next one is waited for
