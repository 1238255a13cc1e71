"""Logging of a service: text for a terminal, or one JSON object a line for machines.

Secrets are taken out of messages by the one rule of `steelyard.kernel.secrets`.
"""

import contextlib
import copy
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Full, Queue
from typing import Any, Literal, TextIO

from steelyard.kernel.errors import SteelyardError, UsageError, did_you_mean
from steelyard.kernel.secrets import known_secrets, redacted
from steelyard.runtime.service_log import TerminalFormatter

LogFormat = Literal["text", "json"]
FIELDS = ("task_id", "worker_id", "attempt")
"""What a record may say beside its message: what it is about, where that is known."""
LEVELS = ("debug", "info", "warning", "error")
WAITING_MAX = 10_000
END_S = 2.0
"""How long the last lines are waited for."""


class JsonFormatter(logging.Formatter):
    """Makes a record an object: `time`, `level`, `logger`, `message`, `FIELDS`, `error`.

    Args:
        secrets: that are known by themselves, such as those of the environment.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a line break within is escaped, as JSON has it."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"), "level": record.levelname.lower(),
            "logger": record.name, "message": self._shown(record.getMessage()),
        }  # fmt: skip
        for name in FIELDS:
            value = getattr(record, name, None)
            if value not in (None, ""):
                line[name] = value
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            is_stated = isinstance(error, SteelyardError)
            text = str(error) if is_stated else self.formatException(record.exc_info)
            line["error"] = self._shown(text)
        return json.dumps(line, default=str)

    def _shown(self, text: str) -> str:
        return str(redacted("", text, self._secrets))


class TextFormatter(TerminalFormatter):
    """Says a record to a person, with what it is about behind it.

    What others wrote may be in it, such as an error of a task: none of that moves the cursor, and a
    line that it breaks is indented, so that it passes for no record of its own.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__("%(levelname)s %(message)s")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        found = [f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name)]
        text = _plain(str(redacted("", super().format(record), self._secrets)))
        return " ".join((text, *found))


def _plain(text: str) -> str:
    lines = text.split("\n")
    if not text.isprintable():
        lines = ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines]
    return "\n  ".join(lines)


class Behind(logging.Handler):
    """Has a thread write records, so that a reader who reads nothing holds nobody up.

    Where too many wait, new ones are left out, and how many is said when there is room again.

    Args:
        handler: writes.
        waiting_max: records that may wait.
    """

    def __init__(self, handler: logging.Handler, waiting_max: int = WAITING_MAX) -> None:
        super().__init__()
        self.left_out = 0
        self._handler = handler
        self._waiting: Queue[logging.LogRecord | None] = Queue(waiting_max)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written, as it is now."""
        kept = copy.copy(record)
        kept.msg, kept.args = record.getMessage(), None
        try:
            self._waiting.put_nowait(kept)
        except Full:
            self.left_out += 1

    def close(self) -> None:
        """Have what waits written, for a while at most."""
        with contextlib.suppress(Full):
            self._waiting.put(None, timeout=END_S)
        self._thread.join(END_S)
        super().close()

    def _write(self) -> None:
        said = 0
        while (record := self._waiting.get()) is not None:
            if (left_out := self.left_out) > said:
                text = f"{left_out - said} lines of the log were left out: nobody read them in time"
                said = left_out
                gap = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
                self._handler.handle(gap)
            self._handler.handle(record)


@contextmanager
def service_logging(form: LogFormat, level: str, stream: TextIO | None = None) -> Iterator[None]:
    """Log to a stream within the block: our own loggers from `level` on, others from warnings on.

    Args:
        form: of a line.
        level: one of `LEVELS`; where it is empty, `info` for machines and `warning` for people.
        stream: standard error without it.

    Raises:
        UsageError: there is no such level.
    """
    chosen = (level or ("info" if form == "json" else "warning")).lower()
    if chosen not in LEVELS:
        raise UsageError(
            "There is no such level of logs", got=level, expected=", ".join(LEVELS),
            next_step=did_you_mean(chosen, LEVELS) or None,
        )  # fmt: skip
    secrets = known_secrets(os.environ)
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(JsonFormatter(secrets) if form == "json" else TextFormatter(secrets))
    handler = Behind(writer)
    root, own = logging.getLogger(), logging.getLogger("steelyard")
    before = root.level, own.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    own.setLevel(chosen.upper())
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.setLevel(before[0])
        own.setLevel(before[1])
        root.removeHandler(handler)
        handler.close()
