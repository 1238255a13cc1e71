"""A coordinator leads on, and has its tasks carried out, whatever a stranger's scheduler does."""

import asyncio
import time

from fleet_host import coordinator, fleet_host, spec, until
from fleet_rig import FirstCome

from steelyard.app.fleet.schedulers import coordinators_scheduler
from steelyard.builtin.scheduler.round_robin import RoundRobinScheduler
from steelyard.runtime.fleet import guarded_scheduler
from steelyard.runtime.fleet.guarded_scheduler import GuardedScheduler
from steelyard.runtime.plugin_host import PluginHost


class Sleeper(FirstCome):  # type: ignore[misc]  # support modules are Any to mypy
    """Takes longer for a pass than its coordinator may be silent."""

    def propose(self, free, workers, now_ns):
        if free and self.queue:
            time.sleep(2.5)
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
    short = {"leader_ttl_s": 1.0, "stand_by": True}
    async with (
        coordinator(tmp_path, host=with_scheduler(Sleeper), **short) as fleet,
        coordinator(tmp_path, host=with_scheduler(Sleeper), **short) as other,
    ):
        assert (fleet.leads, other.leads) == (True, False)
        await fleet.use_scheduler("strange")
        begun_s = time.monotonic()
        await fleet.submit([spec(f"t{n}") for n in range(3)])
        await fleet.ended([f"t{n}" for n in range(3)])
        assert time.monotonic() - begun_s < 2
        (decision,) = await fleet.decisions("t2")
        assert "First come, first served: scheduler strange took longer" in decision.reasons[-1]
        await asyncio.sleep(1.5)
        assert (fleet.leads, other.leads) == (True, False)
        assert fleet.metrics().scheduler_metrics["guard_first_come_passes"] >= 1


async def test_a_scheduler_that_raises_ends_no_coordinator(tmp_path):
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
