"""Signals while a report is made, in a process that works without an event loop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
def term_as_interrupt() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does: temporary files go, and the exit code is 130.

    A thread beside somebody else's main thread has no signals, and is left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
