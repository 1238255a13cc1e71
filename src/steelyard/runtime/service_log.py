"""Logging of services: lazy messages, the service id on every line, one file for all roles."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

    def is_on(self, level: int) -> bool:
        """Return True when messages of this `logging` level are kept."""
        return self._logger.isEnabledFor(level)

    def _log(self, level: int, message: Lazy, **rest: Any) -> None:
        if self._logger.isEnabledFor(level):
            text = message() if callable(message) else message
            self._logger.log(level, "%s", text, stacklevel=3, **rest)


class AppendHandler(logging.Handler):
    """Writes each record with one append, so that lines of several processes never mix."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._fd

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record."""
        os.write(self._fd, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))

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
    handler = AppendHandler(path)
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
    on_terminal.setFormatter(logging.Formatter(_TERMINAL_FORMAT.format(who=who)))
    root.addHandler(on_terminal)
    if path is None:
        return None
    to_file = AppendHandler(path)
    to_file.setFormatter(logging.Formatter(_FORMAT.format(who=who), _TIME_FORMAT))
    root.addHandler(to_file)
    return to_file
