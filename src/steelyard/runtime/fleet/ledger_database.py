"""The database of a ledger: transactions that are whole or not, and are tried again where it helps.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned is on the disk. PostgreSQL as its
server has `synchronous_commit`, on where nobody changed it.
"""

import os
import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import FileError, PluginError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import next_step_of, reason_of
from steelyard.runtime.fleet.ledger_problems import Problem, problem_of
from steelyard.runtime.fleet.ledger_url import parse_url, shown_url, without_secrets
from steelyard.runtime.fleet.ports import LedgerGoneError

PATIENCE_S = 30.0
"""How long a database that is gone or busy is waited for."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 2.0
_BUSY_S = 5.0
# Of connections to a server, see PostgreSQL, 32.1.2. By itself TCP would take a server that does
# not answer any more for a silent one: for a quarter of an hour where something was sent, for two
# hours where an answer is waited for, and a thread of the coordinator with it.
_TCP = {
    "connect_timeout": 5, "tcp_user_timeout": 6_000,
    "keepalives_idle": 3, "keepalives_interval": 1, "keepalives_count": 3,
}  # fmt: skip
_WRITES = "steelyard_writes"
T = TypeVar("T")


class Database:
    """Connections to one SQLite file or PostgreSQL database.

    Args:
        url: as `ledger_url_for` returns it.
        clock: measures how long something was waited for.
        patience_s: how long that is at most.

    Attributes:
        shown: the URL without its secrets.
        session: what its connections are called on a server, unique.

    Raises:
        UsageError: a URL that is none of ours.
        PluginError: the extra `postgres` is not installed.
        FileError: the file can't be made.
    """

    def __init__(self, url: str, clock: Clock, *, patience_s: float = PATIENCE_S) -> None:
        self.url = parse_url(url)
        self.shown = shown_url(self.url)
        self.session = f"steelyard-{secrets.token_hex(8)}"
        self.clock = clock
        self._patience_s = patience_s
        self._closed = threading.Event()
        if self.is_sqlite:
            _make_file(Path(str(self.url.database)))
        free_s = min(_BUSY_S, patience_s)
        self._engine = (
            _sqlite(self.url, free_s) if self.is_sqlite
            else _postgres(self.url, self.session, free_s)
        )  # fmt: skip

    @property
    def is_sqlite(self) -> bool:
        """True for a file, False for a server."""
        return self.url.drivername == "sqlite"

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads, in one transaction.

        Raises:
            FileError, LedgerGoneError: as `write`.
        """
        return self._run(work, writes=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction that is whole or not at all, and return its value.

        It is done again after a loss of the connection: the first may have been committed.

        Raises:
            FileError: no space, no permission, a damaged file.
            LedgerGoneError: the database can't be reached.
        """
        return self._run(work, writes=True)

    def close(self) -> None:
        """Let go of all connections; who waits for the database gives up."""
        self._closed.set()
        self._engine.dispose()

    def pause(self, seconds: float) -> None:
        """Wait; as long as nobody closes it.

        Raises:
            LedgerGoneError: it was closed.
        """
        if self._closed.wait(seconds):
            raise LedgerGoneError(f"The ledger {self.shown} was closed")

    def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        begun_ns, wait_s = self.clock.mono_ns(), FIRST_WAIT_S
        self.pause(0)
        while True:
            try:
                return self._once(work, writes=writes)
            except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
                problem = problem_of(error)
                spent_s = (self.clock.mono_ns() - begun_ns) / NS_PER_S
                if not problem.passes or spent_s + wait_s > self._patience_s:
                    raise self._error(problem, spent_s) from None  # its cause may name a password
            self.pause(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _once(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        connected = self._engine.connect().execution_options(**{_WRITES: writes})
        with connected as connection, connection.begin():
            return work(connection)

    def _error(self, problem: Problem, spent_s: float) -> FileError | LedgerGoneError:
        message = without_secrets(problem.message, self.url)
        if problem.passes:
            waited = f", for {spent_s:.0f} s" if spent_s >= 1 else ""
            return LedgerGoneError(
                f"The ledger {self.shown} does not answer{waited}: {message}",
                next_step="Nothing was saved by halves; start it again when the database is back.",
            )
        return FileError(
            f"Can't use the ledger {self.shown}: {message}", next_step=problem.next_step
        )


def _make_file(path: Path) -> None:
    """Make the file, readable by its owner only, as SQLite makes those beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if path.is_file():
            return
        if path.exists():
            raise FileError(f"Can't use the ledger {path}: it is no file") from error
        text = f"Can't make the ledger {path}: {reason_of(error)}"
        raise FileError(text, next_step=next_step_of(error)) from error


def _sqlite(url: URL, free_s: float) -> Engine:
    """Return connections to a file; one that is at work is waited for so long at a time."""
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY_S}, pool_timeout=free_s
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(url: URL, session: str, free_s: float) -> Engine:
    timing = {name: value for name, value in _TCP.items() if name not in url.query}
    arguments = {"application_name": session, **timing}
    try:
        return create_engine(url, hide_parameters=True, connect_args=arguments, pool_timeout=free_s)
    except ImportError as error:
        raise PluginError(
            "A ledger in PostgreSQL needs an extra",
            got=str(error),
            next_step="Run: pip install 'steelyard[postgres]'",
        ) from error
