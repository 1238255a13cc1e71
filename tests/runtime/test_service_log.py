"""The log of the roles: one append a line, and a full disk costs lines only."""

import io
import logging
import os
from pathlib import Path

import pytest

from steelyard.kernel.errors import JournalError
from steelyard.runtime.service_log import AppendHandler, TerminalFormatter


@pytest.fixture
def full():
    """Return a handler on a device that is always full, and what it complained."""
    complaints = io.StringIO()
    handler = AppendHandler(Path("/dev/full"), complaints)
    yield handler, complaints
    handler.close()


def record(text, error=None):
    info = (type(error), error, None) if error else None
    return logging.LogRecord("a", logging.ERROR, "f", 1, text, (), info)


def test_a_full_disk_costs_log_lines_and_is_told_once(full):
    handler, complaints = full
    for number in range(3):
        handler.emit(record(f"line {number}"))
    assert handler.dropped == 3
    assert complaints.getvalue() == (
        "Log lines are lost: can't write /dev/full: no space left on device.\n"
    )


def test_lines_go_on_when_there_is_room_again(tmp_path):
    handler = AppendHandler(tmp_path / "a.log")
    handler.emit(record("one"))
    file = handler.fileno()
    spare = os.dup(file)
    with Path("/dev/full").open("wb") as device:
        os.dup2(device.fileno(), file)
        handler.emit(record("two"))
        os.dup2(spare, file)
    handler.emit(record("three"))
    handler.close()
    os.close(spare)
    assert (tmp_path / "a.log").read_text() == "one\nthree\n"
    assert handler.dropped == 1


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(JournalError("the disk is full"), False), (KeyError("bug"), True)],
)
def test_the_terminal_shows_tracebacks_of_unforeseen_errors_only(error, has_traceback):
    text = TerminalFormatter("%(message)s").format(record("failed", error))
    assert text.startswith("failed")
    assert ("KeyError" in text) is has_traceback
    assert ("\n" in text) is has_traceback
