"""Each task that ends is a trace at a collector that decodes it; a bad collector delays no task."""

import sys
import time

import pytest
from fleet_host import coordinator, spec, until
from fleet_rig import InstantEngine
from otlp_traces import TraceCollector, attributes_of

from steelyard.app.fleet.traces import DROPPED, EXPORTED, REFUSED, TaskTraces, TracedEngine
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Backoff, Ending, Outcome, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Requirements
from steelyard.fleet import Coordinator, FleetSettings
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.runtime.fleet.engine_room import STOP_WITHIN_S
from steelyard.runtime.fleet.ports import Change, Happened
from steelyard.runtime.otel.spans import SpanSender

pytestmark = pytest.mark.network
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"
NOW = Backoff(first_s=0.01, jitter=0.0)


@pytest.fixture
def collector(monkeypatch):
    # One that answers is waited for, however slow the machine is.
    monkeypatch.setattr(TaskTraces.stop, "__defaults__", (60.0,))
    monkeypatch.setattr(SpanSender.__init__, "__kwdefaults__", {"timeout_s": 60.0})
    found = TraceCollector()
    yield found
    found.close()


async def ended(fleet, *names):
    await fleet.ended(names)


def of_task(collector, task_id):
    """Return the spans of a task: itself, then its parts in the order of time."""
    found = [s for s in collector.spans() if attributes_of(s)["steelyard.task.id"] == task_id]
    roots = [span for span in found if span.name.startswith("task ")]
    parts = [span for span in found if not span.name.startswith("task ")]
    assert len(roots) == 1, roots
    return roots[0], sorted(parts, key=lambda s: (s.start_time_unix_nano, s.name == "attempt"))


async def test_a_task_waits_and_runs_as_parts_of_its_span(tmp_path, collector):
    async with coordinator(tmp_path, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t", name="build", project="p", user="u")])
        await ended(fleet, "t")
    root, (queue, attempt) = of_task(collector, "t")
    task = attributes_of(root)
    assert (root.name, root.parent_span_id, root.status.code) == ("task command", b"", 0)
    assert task["steelyard.task.state"] == "completed"
    assert (task["steelyard.project"], task["steelyard.user"]) == ("p", "u")
    assert {s.trace_id for s in (queue, attempt)} == {root.trace_id}
    assert {s.parent_span_id for s in (queue, attempt)} == {root.span_id}
    assert (queue.name, attempt.name) == ("queue", "attempt")
    assert root.start_time_unix_nano == queue.start_time_unix_nano
    assert queue.end_time_unix_nano == attempt.start_time_unix_nano
    assert attempt.end_time_unix_nano <= root.end_time_unix_nano
    one = attributes_of(attempt)
    assert (one["steelyard.attempt.number"], one["steelyard.engine"]) == (1, "instant")
    assert one["steelyard.worker.id"].startswith("w")
    assert (one["steelyard.attempt.ending"], one["steelyard.attempt.token"]) == ("succeeded", 1)
    assert [event.name for event in attempt.events] == ["started"]
    resource = attributes_of(collector.traces[0].resource_spans[0].resource)
    assert resource["service.name"] == "steelyard-fleet"


async def test_attempts_that_fail_are_errors_and_the_next_links_to_them(tmp_path, collector):
    def behave(lease, task):
        if lease.attempt == 1:
            return Outcome(ending=Ending.FAILED, error="password=hunter2hunter2 no", exit_code=3)
        return Outcome(ending=Ending.SUCCEEDED)

    engine = InstantEngine(behave=behave)
    async with coordinator(tmp_path, engine, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t", retries=1, backoff=NOW)])
        await ended(fleet, "t")
    root, parts = of_task(collector, "t")
    assert [part.name for part in parts] == ["queue", "attempt", "queue", "attempt"]
    first, second = parts[1], parts[3]
    assert (first.status.code, second.status.code, root.status.code) == (2, 0, 0)
    assert "hunter2" not in str(collector.traces)
    assert attributes_of(first)["process.exit.code"] == 3
    (link,) = second.links
    assert (link.span_id, attributes_of(link)) == (
        first.span_id, {"steelyard.attempt.ending": "failed"},
    )  # fmt: skip


async def test_what_a_lost_worker_meant_is_told_with_the_task(tmp_path, collector):
    def behave(lease, task):
        return Outcome(ending=Ending.SUCCEEDED) if lease.attempt > 1 else None

    engine = InstantEngine(behave=behave)
    async with coordinator(tmp_path, engine, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t", backoff=NOW)])
        await until(lambda: engine.submitted)
        lost = engine.submitted[0].worker_id
        engine.say(EngineEvent(kind="worker_died", worker_id=lost, reason="it is gone"))
        await ended(fleet, "t")
    root, parts = of_task(collector, "t")
    assert [event.name for event in root.events] == ["recovery_started", "recovery_completed"]
    assert {attributes_of(event)["steelyard.worker.id"] for event in root.events} == {lost}
    attempts = [part for part in parts if part.name == "attempt"]
    assert "it is gone" in attempts[0].status.message
    assert attempts[1].links[0].span_id == attempts[0].span_id


async def test_a_task_that_never_ran_has_waited_until_its_end(tmp_path, collector):
    async with coordinator(tmp_path, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t", requirements=Requirements(gpus=5))])
        await fleet.cancel("t", "not any more")
        await ended(fleet, "t")
    root, (queue,) = of_task(collector, "t")
    assert attributes_of(root)["steelyard.task.state"] == "cancelled"
    assert (queue.name, root.status.code) == ("queue", 0)
    assert queue.end_time_unix_nano == root.end_time_unix_nano


async def test_a_trace_is_whole_though_another_coordinator_ended_it(tmp_path, collector):
    """What the first one did is read up in the ledger; only the name of its engine is not known."""
    engine = InstantEngine(behave=lambda lease, task: None)
    async with coordinator(tmp_path, engine, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t")])
        await until(lambda: engine.submitted)
    assert collector.spans() == []
    async with coordinator(tmp_path, otel_url=collector.base) as fleet:
        await ended(fleet, "t")
    root, parts = of_task(collector, "t")
    assert [part.name for part in parts] == ["queue", "attempt", "queue", "attempt"]
    assert {part.parent_span_id for part in parts} == {root.span_id}
    endings = [attributes_of(part).get("steelyard.attempt.ending") for part in parts[1::2]]
    assert endings == ["cancelled", "succeeded"]


async def test_a_pipelines_trace_goes_on_into_the_attempt(tmp_path, collector):
    """A real process sees its attempt's span, whose task is a child of the submitter's."""
    settings = FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"), directory=str(tmp_path / "files"),
        engines={"local": {"detect": False}}, otel_url=collector.base,
    )  # fmt: skip
    async with Coordinator(settings) as fleet:
        payload = {"shell": "echo $TRACEPARENT"}
        task = TaskSpec(task_id="t", kind="command", payload=payload, traceparent=HEADER)
        await fleet.submit([task])
        seen = (await fleet.ended(["t"]))["t"].outcome.result["stdout"].strip()
    root, (_, attempt) = of_task(collector, "t")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    assert seen == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert attributes_of(attempt)["steelyard.engine"] == "local"


class Noting(InstantEngine):
    """Notes the span that each attempt is told to be part of."""

    def __init__(self):
        super().__init__()
        self.handed = []

    async def submit(self, lease, spec):
        self.handed.append(spec.traceparent)
        await super().submit(lease, spec)


async def test_a_trace_that_nobody_wants_kept_is_not_sent_and_goes_on(tmp_path, collector):
    engine = Noting()
    async with coordinator(tmp_path, engine, otel_url=collector.base) as fleet:
        await fleet.submit([spec("t", traceparent=f"00-{TRACE}-{SPAN}-00")])
        await ended(fleet, "t")
    assert collector.spans() == []
    (handed,) = engine.handed
    assert handed.startswith(f"00-{TRACE}-")
    assert handed.endswith("-00")


async def test_without_a_collector_attempts_get_what_the_sender_said(tmp_path):
    engine = Noting()
    async with coordinator(tmp_path, engine) as fleet:
        (wrong,) = await fleet.submit([spec("bad", traceparent="00-abc")])
        assert "traceparent" in wrong.refusal
        await fleet.submit([spec("t", traceparent=HEADER), spec("u")])
        await ended(fleet, "t", "u")
        assert fleet.metrics().traces == {}
    assert sorted(engine.handed) == ["", HEADER]


@pytest.mark.parametrize("kind", ["dead", "slow"])
async def test_a_bad_collector_delays_no_task_and_what_it_did_not_take_is_counted(tmp_path, kind):
    collector = TraceCollector(hold_s=300)
    url = collector.base if kind == "slow" else "http://127.0.0.1:9"
    fleet = coordinator(tmp_path, otel_url=url)
    try:
        async with fleet:
            begun = time.monotonic()
            await fleet.submit([spec(f"t{n}") for n in range(200)])
            await ended(fleet, *(f"t{n}" for n in range(200)))
            assert time.monotonic() - begun < 60
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 60
        counts = fleet.metrics().traces
        assert counts[EXPORTED] == 0
        assert 0 < counts[REFUSED] + counts[DROPPED] <= 200
    finally:
        collector.close()


def test_a_full_queue_drops_and_says_how_much():
    traces = TaskTraces(None, waiting_max=3)
    for number in range(10):
        arguments = {"task_id": f"t{number}", "result": None}
        ends = Happened(at_ns=1, name=str(FleetHook.TASK_COMPLETED), arguments=arguments)
        traces.saw(Change(happened=(ends,)), 0.0)
        lost = {"worker_id": "w", "task_ids": (f"r{number}",)}
        begun = Happened(at_ns=1, name=str(FleetHook.RECOVERY_STARTED), arguments=lost)
        traces.saw(Change(happened=(begun,)), 0.0)
    assert traces.counts == {EXPORTED: 0, REFUSED: 0, DROPPED: 7}
    assert len(traces._recovered) == 3


def test_without_the_sdk_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(PluginError, match=r"steelyard\[otel\]"):
        coordinator(tmp_path, otel_url="localhost:4318")


def test_a_url_that_is_none_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UsageError, match="collector's URL"):
        coordinator(tmp_path, otel_url="ftp://x")
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_can_not_say_how_long_its_end_takes_begins_all_the_same():
    """Whoever stops it asks for that, and knows what to do."""

    class Strange(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
        @property
        def stop_within_s(self):
            raise KeyError("no such option")

    made = TracedEngine(Strange(), "strange", {})
    with pytest.raises(KeyError):
        _ = made.stop_within_s
    Strange.stop_within_s = 7.0
    assert made.stop_within_s == 7.0
    assert TracedEngine(InstantEngine(), "plain", {}).stop_within_s == STOP_WITHIN_S
