"""Phase hooks are made from the plan and told of events in order of priority."""

import pytest

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import PluginChoice
from steelyard.kernel.errors import PluginError
from steelyard.runtime.phase_hooks import EVENTS, PhaseHooks
from steelyard.runtime.plugin_host import PluginHost

SEEN: list[tuple] = []


class Recorder:
    def __init__(self, mark: str = "r") -> None:
        self.mark = mark

    async def on_phase_start(self, phase, tracker):
        SEEN.append((self.mark, "start", phase, tracker.create_stats().sent))

    async def on_phase_complete(self, phase, tracker):
        SEEN.append((self.mark, "complete", phase, tracker.create_stats().sent))


class Tracker:
    def create_stats(self):
        return PhaseStats(phase="profiling", phase_index=0, sent=7)


@pytest.fixture
def host():
    SEEN.clear()
    made = PluginHost()
    made.register("phase_hook", "late", Recorder, priority=90)
    made.register("phase_hook", "early", Recorder, priority=10)
    return made


def test_the_events_are_documented_with_their_arguments():
    assert [e.name for e in EVENTS] == [
        "on_phase_start",
        "on_phase_sending_complete",
        "on_phase_complete",
        "on_phase_timeout",
    ]
    assert {e.arguments for e in EVENTS} == {("phase", "tracker")}
    assert all(e.description for e in EVENTS)


async def test_hooks_hear_real_stats_in_order_of_priority(host):
    choices = [
        PluginChoice(name="late", config={"mark": "L"}),
        PluginChoice(name="early", config={"mark": "E"}),
    ]
    hooks = PhaseHooks(host, choices)
    await hooks.fire("on_phase_start", "profiling", Tracker())
    await hooks.fire("on_phase_sending_complete", "profiling", Tracker())
    await hooks.fire("on_phase_complete", "profiling", Tracker())
    assert SEEN == [
        ("E", "start", "profiling", 7),
        ("L", "start", "profiling", 7),
        ("E", "complete", "profiling", 7),
        ("L", "complete", "profiling", 7),
    ]


async def test_a_hook_that_fails_does_not_keep_others_from_hearing(host):
    class Bad(Recorder):
        async def on_phase_start(self, phase, tracker):
            raise RuntimeError("no luck")

    hooks = PhaseHooks(host)
    hooks.add(Bad(), "bad", 1)
    hooks.add(Recorder("good"))
    bad, good = await hooks.fire("on_phase_start", "warmup", Tracker())
    assert "no luck" in bad.error
    assert good.error == ""
    assert SEEN == [("good", "start", "warmup", 7)]


def test_an_unknown_hook_is_refused_before_the_run(host):
    with pytest.raises(PluginError, match="Did you mean 'early'"):
        PhaseHooks(host, [PluginChoice(name="earli")])
