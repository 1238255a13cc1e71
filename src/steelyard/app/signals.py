"""Signals while a report is made, in a process that works without an event loop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from steelyard.kernel.errors import SteelyardError

EXIT_INTERRUPTED = 130


class ReportGivenUpError(SteelyardError):
    """A person did not want to wait for the report; the run itself is whole.

    Args:
        directory: of the run.
    """

    exit_code = EXIT_INTERRUPTED

    def __init__(self, directory: str) -> None:
        super().__init__(
            "The report was given up, and is not complete; the run is whole",
            next_step=f"To have it written: steelyard report {directory}",
        )


@contextmanager
def term_as_interrupt() -> Iterator[Callable[[], None]]:
    """Have SIGTERM end the block as Ctrl-C does: temporary files go, and the exit code is 130.

    Yields what raises KeyboardInterrupt once one of the two has come. Long work calls it now and
    then: the exception that a signal raises is lost when it strikes where C code drops any that
    comes, as numpy does while it looks at what an enum's member can do.

    A thread beside somebody else's main thread has no signals, and is left alone.
    """
    asked = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    # Where Ctrl-C is ignored, or somebody's already, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
