"""Signals to a process that works on its main thread, without an event loop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
