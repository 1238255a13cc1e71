"""A coordinator leads on, and has its tasks carried out, whatever a stranger's scheduler does."""

import threading

from fleet_host import coordinator, fleet_host, spec, until
from fleet_rig import FirstCome
from sqlalchemy import select

from steelyard.app.fleet.schedulers import coordinators_scheduler
from steelyard.builtin.scheduler.round_robin import RoundRobinScheduler
from steelyard.runtime.fleet import guarded_scheduler, ledger_leadership
from steelyard.runtime.fleet.guarded_scheduler import GuardedScheduler
from steelyard.runtime.fleet.ledger_tables import LEADER
from steelyard.runtime.plugin_host import PluginHost


class Sleeper(FirstCome):  # type: ignore[misc]  # support modules are Any to mypy
    """Does not come back from a pass with something to do before the test lets it."""

    asleep, over = threading.Event(), threading.Event()

    def propose(self, free, workers, now_ns):
        if free and self.queue:
            self.asleep.set()
            self.over.wait(90)
        return super().propose(free, workers, now_ns)


class Raiser(FirstCome):  # type: ignore[misc]
    """Has a mistake."""

    def propose(self, free, workers, now_ns):
        return 1 // (len(free) - len(free))


def with_scheduler(cls):
    host = fleet_host()
    host.register("scheduler", "strange", cls)
    return host


def test_our_own_schedulers_are_asked_directly_and_strangers_are_not():
    host = with_scheduler(Sleeper)
    host.register("scheduler", "mine", type("Mine", (RoundRobinScheduler,), {}))
    assert type(coordinators_scheduler(PluginHost.standard(), "round_robin", {})) is (
        RoundRobinScheduler
    )
    for name in ("strange", "mine"):
        assert isinstance(coordinators_scheduler(host, name, {}), GuardedScheduler)


async def test_a_scheduler_that_sleeps_costs_no_coordinator_its_lead(tmp_path, monkeypatch):
    """Another that stands by would have taken over: nothing would have been renewed meanwhile."""
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 0.3)
    monkeypatch.setattr(guarded_scheduler, "HANGS_S", 1_000.0)
    monkeypatch.setattr(ledger_leadership, "RENEWALS_PER_TTL", 100)
    for name in ("asleep", "over"):
        monkeypatch.setattr(Sleeper, name, threading.Event())
    more = {"leader_ttl_s": 30.0, "stand_by": True}
    try:
        async with (
            coordinator(tmp_path, host=with_scheduler(Sleeper), **more) as fleet,
            coordinator(tmp_path, host=with_scheduler(Sleeper), **more) as other,
        ):
            assert (fleet.leads, other.leads) == (True, False)
            await fleet.use_scheduler("strange")
            await fleet.submit([spec(f"t{n}") for n in range(3)])
            await fleet.ended([f"t{n}" for n in range(3)])
            assert Sleeper.asleep.is_set()
            (decision,) = await fleet.decisions("t2")
            assert "First come, first served: scheduler strange took longer" in decision.reasons[-1]
            since = renewals(fleet)
            await until(lambda: renewals(fleet) > since + 3)
            assert (fleet.leads, other.leads) == (True, False)
            assert fleet.metrics().scheduler_metrics["guard_first_come_passes"] >= 1
    finally:
        Sleeper.over.set()


def renewals(fleet):
    """Return how often who leads said so."""
    database = fleet._office.ledger.database
    return database.read(lambda c: c.execute(select(LEADER.c.renewals)).scalar_one())


async def test_a_scheduler_that_raises_ends_no_coordinator(tmp_path, monkeypatch):
    monkeypatch.setattr(guarded_scheduler, "PASS_WITHIN_S", 60.0)
    host = with_scheduler(Raiser)
    async with coordinator(tmp_path, host=host) as fleet:
        await fleet.use_scheduler("strange")
        for name in ("a", "b", "c", "d"):
            await fleet.submit([spec(name)])
            await fleet.ended([name])
        await until(lambda: fleet.metrics().scheduler_metrics["quarantined"] == 1)
        assert "ZeroDivisionError" in fleet.metrics().scheduler_metrics["guard_trouble"]
        await fleet.use_scheduler("first")
        await fleet.submit([spec("e")])
        await fleet.ended(["e"])
        (decision,) = await fleet.decisions("e")
        assert decision.reasons == ("next",)
