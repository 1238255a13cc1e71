"""What the loop of a fleet needs of its ledger."""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from steelyard.domain.fleet.model import Attempt, Task, Worker
from steelyard.kernel.errors import EXIT_UNREACHABLE, SteelyardError


class LostLeadershipError(SteelyardError):
    """Another coordinator leads: nothing was saved, and nothing more may be done."""

    exit_code = EXIT_UNREACHABLE


class LedgerGoneError(SteelyardError):
    """The ledger's database can't be reached, and was waited for."""

    exit_code = EXIT_UNREACHABLE


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a scheduler proposed, and what became of that.

    Attributes:
        at_ns: Unix time.
        scheduler: its name and, where it has several, its strategy.
        taken: a lease came of it.
        reasons: the scheduler's; or, where it was not taken, why not.
    """

    at_ns: int
    scheduler: str
    task_id: str
    worker_id: str
    taken: bool
    reasons: tuple[str, ...] = ()


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """What plugins, the journal and whoever watches are told."""

    at_ns: int
    name: str
    arguments: dict[str, object]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be remembered at once, whole or not at all.

    Attributes:
        gone: workers that are to be forgotten, by id.
        attempts: those that are over.
        next_token: of the next lease; larger than all before.
    """

    tasks: tuple[Task, ...] = ()
    workers: tuple[Worker, ...] = ()
    gone: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    decisions: tuple[Decision, ...] = ()
    happened: tuple[Happened, ...] = ()
    next_token: int = 1


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What a coordinator goes on from: tasks that have not ended or that a worker still holds."""

    tasks: tuple[Task, ...] = ()
    workers: tuple[Worker, ...] = ()
    next_token: int = 1


class Ledger(Protocol):
    """Remembers tasks, workers, decisions and events. Called by one thread at a time."""

    def load(self) -> Remembered:
        """Return what the last commit left."""
        ...

    def recall(
        self, task_ids: Collection[str], keys: Collection[tuple[str, str]]
    ) -> tuple[Task, ...]:
        """Return the tasks, ended or not, with these ids or these users and idempotency keys."""
        ...

    def recent(self, limit: int) -> Sequence[tuple[Task, Attempt]]:
        """Return the last attempts that are over with their tasks, the first first.

        A task's payload and result are left out: what is made of the past is who took how long.
        """
        ...

    def commit(self, change: Change) -> None:
        """Remember a change, durably, before anything is done because of it.

        Raises:
            LostLeadershipError: another coordinator leads.
            FileError: it can't be written.
            LedgerGoneError: its database can't be reached.
        """
