"""Logging of services: lazy messages, the service id on every line, one file for all roles."""

import copy
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.files import reason_of

LOG_NAME = "steelyard.log"
_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s {who} %(name)s: %(message)s"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
_TERMINAL_FORMAT = "%(levelname)s {who}: %(message)s"

TRACE = 5
"""Level of `--log-level TRACE`: below DEBUG."""

Lazy = str | Callable[[], str]


class LazyLogger:
    """A logger whose messages may be callables: they run only when their level is on."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: Lazy) -> None:
        """Log for a developer."""
        self._log(logging.DEBUG, message)

    def info(self, message: Lazy) -> None:
        """Log what happened."""
        self._log(logging.INFO, message)

    def warning(self, message: Lazy) -> None:
        """Log what a person should look at."""
        self._log(logging.WARNING, message)

    def error(self, message: Lazy, error: BaseException | None = None) -> None:
        """Log a failure, with the traceback of `error`."""
        self._log(logging.ERROR, message, exc_info=error)

    def _log(self, level: int, message: Lazy, **rest: Any) -> None:
        if self._logger.isEnabledFor(level):
            text = message() if callable(message) else message
            self._logger.log(level, "%s", text, stacklevel=3, **rest)


class TerminalFormatter(logging.Formatter):
    """Says a stated error in its own words; only an unforeseen one comes with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SteelyardError):
            record = copy.copy(record)
            record.exc_info = record.exc_text = None
        return super().format(record)


class AppendHandler(logging.Handler):
    """Writes each record with one append, so that lines of several processes never mix.

    A line that the disk does not take is dropped and counted, and the first such loss is told on
    `complaints`: a full disk must cost lines of a log, never the work that was logged.
    """

    def __init__(self, path: Path, complaints: TextIO | None = None) -> None:
        super().__init__()
        self.dropped = 0
        self._path = path
        self._complaints = complaints
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._fd

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record, or count it as dropped."""
        line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._drop(reason_of(error))
            return
        if written < len(line):
            self._drop("only a part was taken")

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if self.dropped == 1 and self._complaints is not None:
            with suppress(OSError):
                self._complaints.write(f"Log lines are lost: can't write {self._path}: {reason}.\n")
                self._complaints.flush()

    def close(self) -> None:
        """Close the file; a second close does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()


def log_path(artifact_dir: Path) -> Path:
    """Return where the roles of a run log."""
    return artifact_dir / "logs" / LOG_NAME


def level_of(name: str) -> int:
    """Return the number of a level, `TRACE` included."""
    return {**logging.getLevelNamesMapping(), "TRACE": TRACE}[name.upper()]


@contextmanager
def logging_to(path: Path, who: str, level: str) -> Iterator[None]:
    """Append what Steelyard's own loggers say in this block to a file; others are left alone."""
    logger = logging.getLogger("steelyard")
    handler = AppendHandler(path, sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT.format(who=who), _TIME_FORMAT))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level_of(level))
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()


def configure_role_logging(
    who: str, path: Path | None, level: str, terminal_fd: int | None
) -> AppendHandler | None:
    """Replace this process's log handlers: all to the file at `path`, warnings to the terminal.

    Handlers inherited by a fork are dropped unclosed: their files belong to the parent.
    """
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(level_of(level))
    terminal = sys.stderr if terminal_fd is None else os.fdopen(terminal_fd, "w", closefd=False)
    on_terminal = logging.StreamHandler(terminal)
    on_terminal.setLevel(logging.WARNING)
    on_terminal.setFormatter(TerminalFormatter(_TERMINAL_FORMAT.format(who=who)))
    root.addHandler(on_terminal)
    if path is None:
        return None
    # A role of a run leaves that complaint to the controller: one is enough.
    to_file = AppendHandler(path, terminal if terminal_fd is None else None)
    to_file.setFormatter(logging.Formatter(_FORMAT.format(who=who), _TIME_FORMAT))
    root.addHandler(to_file)
    return to_file
