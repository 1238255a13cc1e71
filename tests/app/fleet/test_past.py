"""What schedulers learnt outlives a coordinator, and a change of schedulers; on every database."""

import pytest
from fleet_host import fleet_host, spec, until
from fleet_rig import InstantEngine
from ledger_rig import DATABASES, new_place
from msgspec.structs import replace

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.builtin.scheduler.custom import CustomScheduler
from steelyard.builtin.scheduler.fair_share import FairnessScheduler
from steelyard.builtin.scheduler.performance_based import PerformanceScheduler
from steelyard.domain.fleet.model import Ending, Outcome

SCHEDULERS = {
    "performance_based": PerformanceScheduler, "fair_share": FairnessScheduler,
    "custom": CustomScheduler,
}  # fmt: skip
COUNT = 12


def quick_and_slow(lease, spec):
    """Worker w0, the first to be asked, takes five times as long as w1."""
    taken_s = 10.0 if lease.worker_id == "w1" else 50.0
    return Outcome(ending=Ending.SUCCEEDED, seconds=taken_s)


def host():
    made = fleet_host(InstantEngine(workers=2, slots=1, behave=quick_and_slow))
    for name, cls in SCHEDULERS.items():
        made.register("scheduler", name, cls)
    return made


@pytest.fixture(params=DATABASES)
def settings(request, tmp_path):
    return FleetSettings(
        ledger=new_place(request.param, tmp_path), directory=str(tmp_path / "files"),
        engines={"instant": {}}, scheduler="first", journal=False,
    )  # fmt: skip


def known(fleet):
    """Return what the present scheduler knows of the past, whichever it is."""
    chooser = fleet._office.chooser
    history = chooser.history
    workers = fleet._office.driver.fleet.book.workers
    assert chooser.metrics()["completed"] == 0  # by others, before its time
    found = [history.share("command", workers[name]).seen for name in ("w0", "w1")]
    if isinstance(chooser, FairnessScheduler):
        found.append(sorted(chooser.users.past.names()))
    if isinstance(chooser, CustomScheduler):
        found.append(chooser.specialties.of("w0"))
    return found


async def test_schedulers_know_after_a_restart_what_they_knew_before(settings):
    """And whoever takes over in between knows it too, at once."""
    async with Coordinator(settings, host=host()) as fleet:
        users = ("ann", "bob")
        await fleet.submit(spec(f"t{n}", user=users[n % 2], estimate_s=10) for n in range(COUNT))
        await until(lambda: not fleet._office.driver.fleet.book.tasks)
        for name in SCHEDULERS:
            await fleet.use_scheduler(name)
            assert sum(known(fleet)[:2]) == COUNT, name
    for name, more in (
        ("performance_based", []), ("fair_share", [["ann", "bob"]]), ("custom", ["command"]),
    ):  # fmt: skip
        again = Coordinator(replace(settings, scheduler=name), host=host())
        async with again as fleet:
            seen = known(fleet)
            assert sum(seen[:2]) == COUNT, name
            assert seen[2:] == more


async def test_a_restarted_scheduler_decides_by_what_it_learnt(settings):
    """The task goes to the worker that was quick before the restart, not to the first."""
    under = replace(settings, scheduler="performance_based")
    async with Coordinator(under, host=host()) as fleet:
        await fleet.submit(spec(f"t{n}", estimate_s=10) for n in range(COUNT))
        await until(lambda: not fleet._office.driver.fleet.book.tasks)
    engine = InstantEngine(workers=2, slots=1, behave=lambda lease, spec: None)
    alone = replace(under, engines={})
    async with Coordinator(alone, host=host(), engines={"idle": engine}) as fleet:
        await fleet.submit([spec("long", estimate_s=1000)])
        await until(lambda: engine.submitted)
        assert [lease.worker_id for lease in engine.submitted] == ["w1"]


async def test_why_names_the_scheduler_that_holds_a_task_back(settings):
    """Beside the reason, when it is asked again: in seconds, though nothing happens."""
    one_each = {"user_quotas": {"*": 1}}
    under = replace(settings, scheduler="fair_share", scheduler_options=one_each, engines={})
    engine = InstantEngine(workers=1, slots=2, behave=lambda lease, spec: None)
    async with Coordinator(under, host=host(), engines={"idle": engine}) as fleet:
        await fleet.submit([spec("a", user="ann"), spec("b", user="ann")])
        await until(lambda: fleet._office.driver._chooser.desk.is_holding_back)
        first, reason, again = await fleet.why("b")
        held = "It is ready, and a worker is free, but scheduler fair_share holds it back."
        assert (first, reason) == (held, "User ann is at the quota: 1 leases at once.")
        assert again.startswith("The scheduler is asked again whenever a task ends or a worker")
        assert again.endswith(" s at the latest.")
