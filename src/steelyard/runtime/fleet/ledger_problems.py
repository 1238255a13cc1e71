"""What a database's errors mean: gone for a while, or something that a person must mend."""

import sqlite3

import msgspec
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_PRIMARY = 0xFF  # SQLite's extended codes keep the primary one in the low byte


class Problem(msgspec.Struct, frozen=True):
    """An error of a database.

    Attributes:
        passes: it may be over soon; the same is worth trying again.
        message: the database's own words.
        next_step: what a person can do.
    """

    passes: bool
    message: str
    next_step: str | None = None


_SPACE = "Free some space, and start the coordinator again; nothing was saved by halves."
_PERMISSION = "Change its permissions, or name another ledger."
_DAMAGED = "Name another path, or restore the file from a copy."
_SQLITE_STEPS = {
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_IOERR: "Check the disk that it is on.",
    sqlite3.SQLITE_READONLY: _PERMISSION,
    sqlite3.SQLITE_CANTOPEN: _PERMISSION,
    sqlite3.SQLITE_PERM: _PERMISSION,
    sqlite3.SQLITE_NOTADB: "It is no ledger. Name another path.",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
}
# The file that its connections share can't grow: no other error says that there is no space for it.
_SQLITE_WHOLE_STEPS = {sqlite3.SQLITE_IOERR_SHMSIZE: _SPACE}
_SQLITE_PASSES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# SQLSTATE, see PostgreSQL, Appendix A: connections lost or refused, shutdown and start of a server,
# conflicts that its documentation says to try again, locks, and too many connections.
_STATE_PASSES = ("08", "57P01", "57P02", "57P03", "40001", "40P01", "55P03", "53300")
_STATE_STEPS = {
    "53100": _SPACE,
    "42501": "Grant the role its rights, or name another database.",
    "25006": "Name the primary server: this one can only be read.",
    "28": "Check user and password.",
}
# A server that refuses a connection says so in words only: libpq keeps no SQLSTATE of these.
_REFUSED = ("authentication failed", "does not exist", "no password supplied", "pg_hba.conf")


def problem_of(error: DBAPIError | PoolTimeoutError | sqlite3.Error) -> Problem:
    """Return what an error of a database, or of our connections to it, means."""
    if isinstance(error, PoolTimeoutError):
        return Problem(passes=True, message="all connections to it that we may have are at work")
    cause = error.orig if isinstance(error, DBAPIError) else error
    message = str(cause).strip() or type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        whole = getattr(cause, "sqlite_errorcode", 0)
        code = whole & _PRIMARY
        step = _SQLITE_WHOLE_STEPS.get(whole) or _SQLITE_STEPS.get(code)
        return Problem(code in _SQLITE_PASSES, message, step)
    state = getattr(cause, "sqlstate", None) or ""
    if state:
        step = next((s for start, s in _STATE_STEPS.items() if state.startswith(start)), None)
        return Problem(state.startswith(_STATE_PASSES), message, step)
    if any(words in message for words in _REFUSED):
        return Problem(passes=False, message=message, next_step=_STATE_STEPS["28"])
    return Problem(isinstance(error, OperationalError | InterfaceError), message)
