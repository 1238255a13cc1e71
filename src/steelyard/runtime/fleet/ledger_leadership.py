"""Who of several coordinators leads: a lease in the ledger, with an epoch that fences.

A candidate needs no clock that others agree with: it takes over from a leader whose row it saw
unchanged for that leader's whole ttl, by its own monotonic clock; at once, when the leader resigned
or was a process of this host that is dead. The epoch goes up with every leader, each change of the
ledger checks it in its own transaction, and the sessions of a leader that was taken over from are
ended on the server, so that one stopped amid a transaction holds no lock.
"""

import asyncio
import os
from pathlib import Path

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Update, and_, select, text, update

from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_tables import LEADER
from steelyard.runtime.fleet.ports import LostLeadershipError
from steelyard.runtime.host_facts import boot_id

TTL_S = 6.0
"""How long a leader may be silent, where it does not say otherwise."""

RENEWALS_PER_TTL = 3
_LOOKS_PER_TTL = 12
_LOOK_MAX_S = 0.5
_MS_PER_S = 1_000


class Seen(msgspec.Struct, frozen=True):
    """A leader's epoch, renewals and commits as a candidate saw them, and since when."""

    state: tuple[int, int, int]
    since_ns: int


class Leadership:
    """The right of one coordinator to change the ledger, as long as its epoch is the last.

    Attributes:
        epoch: 1 for the first leader of all.
        commits: of all leaders so far, for a commit to know whether it was made.
    """

    def __init__(self, database: Database, owner: str, epoch: int, ttl_s: float) -> None:
        self.owner, self.epoch, self.ttl_s = owner, epoch, ttl_s
        self.commits = 0
        self._database = database

    def renew(self) -> None:
        """Say that this coordinator lives.

        Raises:
            LostLeadershipError: another leads, or this one resigned.
            LedgerGoneError: the database can't be reached.
        """
        self._database.write(
            lambda connection: self._change(
                connection, update(LEADER).values(renewals=LEADER.c.renewals + 1)
            )
        )

    def resign(self) -> None:
        """Let the next candidate lead at once; this one changes nothing from here on.

        One that does not lead any more has nothing to do.

        Raises:
            FileError, LedgerGoneError: the ledger can't be written; the lease runs out by itself.
        """
        free = update(LEADER).where(self.mine()).values(owner="", home="", session="")
        self._database.write(lambda connection: connection.execute(free))

    def check(self, connection: Connection) -> None:
        """Hold the lease's row for the rest of a transaction.

        Raises:
            LostLeadershipError: another leads; the transaction is to be given up.
        """
        self._change(connection, update(LEADER).values(renewals=LEADER.c.renewals + 1))

    def _change(self, connection: Connection, statement: Update) -> None:
        if connection.execute(statement.where(self.mine())).rowcount != 1:
            raise self.lost()

    def mine(self) -> ColumnElement[bool]:
        """Return what tells this leader's row: not one that it resigned, free for the next."""
        mine: ColumnElement[bool] = and_(
            LEADER.c.id == 1, LEADER.c.epoch == self.epoch, LEADER.c.owner == self.owner
        )
        return mine

    def lost(self) -> LostLeadershipError:
        """Return the error that says so."""
        return LostLeadershipError(
            f"Coordinator {self.owner} no longer leads the fleet",
            next_step="It resigned, or another has taken over; it changed nothing since.",
        )


class Candidate:
    """Looks at the lease again and again, until it can be taken.

    Args:
        owner: names the coordinator to people.
        ttl_s: how long others are to wait for it when it is silent.

    Attributes:
        leader: who led at the last try that failed, in words.
    """

    def __init__(self, database: Database, owner: str, ttl_s: float = TTL_S) -> None:
        self.owner, self.ttl_s = owner, ttl_s
        self.leader = ""
        self._database = database
        self._seen: Seen | None = None

    @property
    def look_s(self) -> float:
        """How long to wait between two tries."""
        return min(self.ttl_s / _LOOKS_PER_TTL, _LOOK_MAX_S)

    def try_lead(self) -> Leadership | None:
        """Take the lease if it is free; None while another coordinator lives.

        Raises:
            FileError, LedgerGoneError: the ledger can't be read or written.
        """
        row = self._database.read(lambda connection: connection.execute(select(LEADER)).one())
        now_ns = self._database.clock.mono_ns()
        state = (row.epoch, row.renewals, row.commits)
        if self._seen is None or self._seen.state != state:
            self._seen = Seen(state, since_ns=now_ns)
        silent_ms = (now_ns - self._seen.since_ns) * _MS_PER_S // NS_PER_S
        is_free = not row.owner or row.session == self._database.session or is_dead(row.home)
        if not is_free and silent_ms <= row.ttl_ms:
            self.leader = _in_words(row.owner, row.home)
            return None
        return self._take(row)

    def _take(self, row: Row[tuple[object, ...]]) -> Leadership | None:
        database = self._database
        if not database.is_sqlite and row.session not in {"", database.session}:
            end = text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
                " :session AND datname = current_database() AND usename = current_user"
            )
            database.write(lambda connection: connection.execute(end, {"session": row.session}))
        unchanged = (
            (LEADER.c.id == 1) & (LEADER.c.epoch == row.epoch)
            & (LEADER.c.renewals == row.renewals) & (LEADER.c.commits == row.commits)
        )  # fmt: skip
        mine = update(LEADER).where(unchanged).values(
            owner=self.owner, home=home_of_this_process(), session=database.session,
            epoch=row.epoch + 1, ttl_ms=int(self.ttl_s * _MS_PER_S),
        )  # fmt: skip

        def take(connection: Connection) -> int | None:
            if connection.execute(mine).rowcount == 1:
                return int(row.commits)
            # A transaction that was committed although its answer was lost is ours all the same.
            now = connection.execute(select(LEADER)).one()
            ours = now.session == database.session and now.epoch == row.epoch + 1
            return int(now.commits) if ours else None

        commits = database.write(take)
        if commits is None:
            return None
        leadership = Leadership(database, self.owner, row.epoch + 1, self.ttl_s)
        leadership.commits = commits
        return leadership

    def lead(self, wait_s: float | None = None) -> Leadership:
        """Wait until this coordinator leads, at most `wait_s`, without end when None.

        Raises:
            LostLeadershipError: another still leads after `wait_s`.
            FileError, LedgerGoneError: the ledger can't be read or written.
        """
        begun_ns = self._database.clock.mono_ns()
        while True:
            leadership = self.try_lead()
            if leadership is not None:
                return leadership
            spent_s = (self._database.clock.mono_ns() - begun_ns) / NS_PER_S
            if wait_s is not None and spent_s >= wait_s:
                raise LostLeadershipError(
                    f"Another coordinator leads the fleet of {self._database.shown}",
                    next_step="Stop it, or leave this one waiting for its end.",
                )
            self._database.pause(self.look_s)

    async def leads(self) -> Leadership:
        """Wait until this coordinator leads, without a thread that outlives who waits.

        Raises:
            FileError, LedgerGoneError: the ledger can't be read or written.
        """
        while True:
            leadership = await asyncio.to_thread(self.try_lead)
            if leadership is not None:
                return leadership
            await asyncio.sleep(self.look_s)


async def keep_leading(leadership: Leadership) -> None:
    """Renew until cancelled, from the coordinator's own loop: a loop that hangs is no leader.

    Raises:
        LostLeadershipError: another leads.
        FileError, LedgerGoneError: the ledger can't be written, and was waited for.
    """
    while True:
        await asyncio.to_thread(leadership.renew)
        await asyncio.sleep(leadership.ttl_s / RENEWALS_PER_TTL)


def home_of_this_process() -> str:
    """Return what tells a process of this host from every other, also one of the same id later."""
    pid = os.getpid()
    return f"{boot_id()} {_pid_namespace()} {pid} {_started(pid)}"


def is_dead(home: str) -> bool:
    """Tell whether that process was of this host, and is no more; False where nobody knows."""
    parts = home.split(" ")
    if len(parts) != 4 or parts[:2] != [boot_id(), _pid_namespace()]:
        return False
    return _started(int(parts[2])) != parts[3]


def _in_words(owner: str, home: str) -> str:
    """Return who leads, as a person is told it: by its name, if it has one, and its process."""
    parts = home.split(" ")
    is_here = len(parts) == 4 and parts[:2] == [boot_id(), _pid_namespace()]
    where = f"process {parts[2]} of this host" if is_here else "on another host or in a container"
    return where if owner == home else f"{owner}, {where}"


def _pid_namespace() -> str:
    """Return which processes can see each other: containers of one host do not."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; nothing when it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return "" if fields[0] in {"Z", "X"} else fields[19]
