"""A service's log: for machines an object a line, for people a line; no secrets in either."""

import io
import json
import logging
import os
import threading
import time
import warnings

import pytest

from steelyard.kernel.errors import UsageError
from steelyard.runtime import json_log
from steelyard.runtime.json_log import Behind, service_logging

_log = logging.getLogger("steelyard.fleet.anything")
SECRET = "correct-horse-battery-9"
TOKEN = "sty_abcdefghijkl_" + "A1b2C3d4E5" * 4 + "xyz"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The last lines are waited for as long as a slow machine takes to write them."""
    monkeypatch.setattr(json_log, "END_S", 60.0)


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_an_object_on_one_line(stream):
    with service_logging("json", "", stream):
        _log.info("two\nlines, %s", "é", extra={"task_id": "t", "attempt": 2, "other": "x"})
        _log.debug("nobody asked")
    (line,) = lines(stream)
    at = line.pop("time")
    assert at.endswith("Z")
    assert at[10] == "T"
    assert line == {
        "level": "info", "logger": "steelyard.fleet.anything", "message": "two\nlines, é",
        "task_id": "t", "attempt": 2,
    }  # fmt: skip


def test_an_error_has_its_words_and_a_bug_its_traceback(stream):
    with service_logging("json", "", stream):
        for error in (UsageError("This is wrong", got="x"), ValueError("a bug")):
            try:
                raise error
            except (UsageError, ValueError):
                _log.exception("it failed")
    stated, bug = (line["error"] for line in lines(stream))
    assert stated.startswith("This is wrong")
    assert "Traceback" not in stated
    assert "Traceback" in bug
    assert "ValueError: a bug" in bug


def test_no_secret_is_said_in_any_form(stream, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)
    for form in ("json", "text"):
        with service_logging(form, "info", stream):
            _log.info("Authorization: Bearer %s", TOKEN)
            _log.info("the key %s was shown", TOKEN)
            _log.info("connected with %s", SECRET)
            _log.info("postgresql://me:%s@host/db", "s3cr3t-of-mine")
            _log.error("failed", exc_info=ValueError(SECRET))
    said = stream.getvalue()
    for secret in (TOKEN, TOKEN[17:], SECRET, "s3cr3t-of-mine"):
        assert secret not in said
    assert len(said) > 300


def test_a_person_reads_warnings_with_what_they_are_about(stream):
    with service_logging("text", "", stream):
        _log.info("not this")
        _log.warning("careful", extra={"task_id": "t", "worker_id": "w"})
        _log.error("no", exc_info=UsageError("stated"))
    assert stream.getvalue().splitlines()[0] == "WARNING careful task_id=t worker_id=w"
    assert "Traceback" not in stream.getvalue()
    assert "not this" not in stream.getvalue()


def test_others_are_heard_from_warnings_on_and_pythons_own_warnings_too(stream):
    other = logging.getLogger("somebody.else")
    with service_logging("json", "debug", stream):
        other.info("chatter")
        other.warning("a problem")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        _log.debug("ours")
    said = [line["message"] for line in lines(stream)]
    assert said[0] == "a problem"
    assert "DeprecationWarning: old" in said[1]
    assert said[2] == "ours"


def test_all_is_as_before_afterwards(stream):
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("steelyard").level
    with service_logging("json", "", stream):
        assert root.handlers != before[1]
    assert (root.level, list(root.handlers), logging.getLogger("steelyard").level) == before


def test_a_reader_who_reads_nothing_holds_nobody_up_and_is_told_what_is_missing():
    """A pipe holds 64 kB: most of 30,000 lines can't be written, and saying them takes a moment."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as pipe:
        with service_logging("json", "", stream):
            for number in range(30_000):
                _log.info("line %d", number, extra={"attempt": number})
            # Whoever waited for a reader would wait still: there is none before here.
            read: list[bytes] = []
            reader = threading.Thread(target=lambda: read.extend(pipe.readlines()))
            reader.start()
            while _waits(logging.getLogger().handlers):
                time.sleep(0.01)
            _log.info("the last one")
        stream.close()
        reader.join(100)
    said = [json.loads(line)["message"] for line in read]
    gaps = [line for line in said if "left out" in line]
    assert gaps
    assert said[0] == "line 0"
    assert said[-1] == "the last one"
    written = sum(line.startswith("line ") for line in said)
    assert written + sum(int(gap.split()[0]) for gap in gaps) == 30_000


def _waits(handlers):
    return any(isinstance(each, Behind) and each._waiting.qsize() for each in handlers)


def test_a_level_that_is_none_is_named(stream):
    with pytest.raises(UsageError, match="warning"), service_logging("text", "warn", stream):
        pass


def test_what_others_wrote_moves_no_cursor_and_passes_for_no_record(stream):
    with service_logging("text", "", stream):
        logging.getLogger("steelyard.fleet").warning(
            "a task failed: %s", "\x1b[2J\x9b1mé\nERROR all keys were revoked\r\u2028"
        )
    assert stream.getvalue() == (
        "WARNING a task failed: \\x1b[2J\\x9b1mé\n  ERROR all keys were revoked\\r\\u2028\n"
    )
