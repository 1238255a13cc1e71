"""What a coordinator would commit."""

from postgres_server import postgres_server

from steelyard.domain.fleet.model import Attempt, Ending, Outcome, Task, TaskSpec
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ports import Change, Decision, Happened

DATABASES = ("sqlite", "postgresql")
S = 1_000_000_000


def new_place(database, directory):
    """Return where a ledger can be that nobody has used."""
    if database == "postgresql":
        return postgres_server().new_database()
    return str(directory / "fleet.ledger.sqlite")


def leading(place, owner="me", **more):
    ledger = SqlLedger(place, **more)
    ledger.lead(owner, wait_s=60)
    return ledger


def spec(name, **more):
    return TaskSpec(task_id=name, kind=more.pop("kind", "command"), **more)


def task(name, state="pending", **more):
    known = {"attempt", "token", "worker_id", "outcome", "reason", "started_ns", "leased_ns"}
    mine = {key: more.pop(key) for key in known & more.keys()}
    return Task(spec=spec(name, **more), state=state, **mine)


def attempt(name, number=1, ending=Ending.FAILED, **outcome):
    return Attempt(
        task_id=name, attempt=number, token=number, worker_id="w", leased_ns=number * S,
        started_ns=number * S + 1, ended_ns=number * S + 2,
        outcome=Outcome(ending=ending, **outcome),
    )  # fmt: skip


def decision(name, reason="next"):
    return Decision(
        at_ns=1, scheduler="fifo", task_id=name, worker_id="w", taken=True, reasons=(reason,)
    )


def happened(name, event="task_created"):
    return Happened(at_ns=5, name=event, arguments={"task_id": name})


def step(number, width=3):
    """Return the change that a coordinator commits as its `number`th, from 1.

    All its parts bear the number: what is there of it says whether it is there whole.
    """
    names = [f"t{number}-{i}" for i in range(width)]
    return Change(
        tasks=(*(task(name) for name in names), task("counter", priority=number)),
        attempts=tuple(attempt(name) for name in names),
        decisions=tuple(decision(name) for name in names),
        happened=tuple(happened(name) for name in names),
        next_token=number + 1,
    )
