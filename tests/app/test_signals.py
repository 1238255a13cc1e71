"""What ends a report."""

import os
import signal
import time
from contextlib import suppress

import pytest

from steelyard.app.signals import term_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_is_lost_ends_the_work_at_the_next_look(number):
    """C code that looks for an attribute drops whatever comes of it, an interrupt too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kept = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    try:
        with term_as_interrupt() as check:
            check()
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), number)
                time.sleep(5)
            with pytest.raises(KeyboardInterrupt):
                check()
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == kept
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_interrupt_stays_ignored():
    """A shell has its background jobs ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with term_as_interrupt() as check:
            os.kill(os.getpid(), signal.SIGINT)
            check()
    finally:
        signal.signal(signal.SIGINT, before)
