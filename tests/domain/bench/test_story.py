"""A run's story out of its events."""

import msgspec
import pytest

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.story import Story
from steelyard.kernel.events import Event
from steelyard.testing.journals import fake_plan, worker_facts


def event(type, payload, at=0):
    return Event(
        run_id="r", stream_id="controller", seq=at, mono_ns=1_000 + at, wall_ns=9_000 + at,
        host_id="h", boot_id="b", type=type, payload=payload,
    )  # fmt: skip


def told(*events):
    story = Story()
    for number, (name, payload) in enumerate(events):
        story.fold(event(name, payload, number))
    return story


STARTED = ("bench.run.started", {"plan": msgspec.to_builtins(fake_plan("/x"))})


def test_a_run_that_says_how_it_ended_is_believed():
    story = told(STARTED, ("bench.run.ended", {"status": "cancelled"}))
    assert story.status == "cancelled"
    assert story.plan == fake_plan("/x")
    assert story.wall_offset_ns == 8_000
    assert (story.started_wall_ns, story.last_wall_ns) == (9_000, 9_001)


def test_a_journal_that_just_ends_was_interrupted():
    assert told(STARTED).status == "interrupted"


def test_a_lost_service_is_remembered_once():
    loss = ("bench.service.lost", {"service_id": "worker_1", "service_type": "worker"})
    assert told(STARTED, loss, loss).lost == [("worker_1", "worker")]


def test_the_machine_of_a_worker_that_joined_is_remembered_and_that_of_its_loss():
    """Its clock is as last told, its bound the worst of the run."""
    joined = {"worker": 1, "service_id": "worker_1", "name": "box1", "host_id": "box1-1"}
    loss = {"service_id": "worker_1", "service_type": "worker", "host": "box1"}
    facts = {"worker": 1, "mono_ns": 5, "wall_offset_ns": 0, "cpu_s": 0.0, "span_s": 1.0,
             "send_lag_max_ns": 0, "clock_steps": 0}  # fmt: skip
    clocks = [{"offset_ns": -9, "bound_ns": bound_ns} for bound_ns in (40, 90, 70)]
    story = told(
        STARTED,
        ("bench.worker.joined", joined),
        *(("bench.worker.facts", {**facts, "clock": clock}) for clock in clocks),
        ("bench.service.lost", loss),
    )
    assert story.joined == {1: joined}
    assert story.lost_hosts == {"worker_1": "box1"}
    worker = story.workers[1]
    assert worker.clock is not None
    assert (worker.clock.bound_ns, worker.clock_bound_ns) == (70, 90)


def test_why_a_service_was_lost_is_remembered_where_it_is_known():
    loss = {"service_id": "worker_1", "service_type": "worker"}
    killed = {**loss, "reason": "killed by SIGKILL"}
    assert told(STARTED, ("bench.service.lost", loss)).lost_reasons == {}
    story = told(STARTED, ("bench.service.lost", loss), ("bench.service.lost", killed))
    assert story.lost_reasons == {"worker_1": "killed by SIGKILL"}


def test_time_spent_waiting_for_a_core_is_added_up_where_it_was_counted():
    """0.5 s of 1 s, and a report of 1 s by a worker that did not count: a quarter."""
    facts = [msgspec.to_builtins(worker_facts(span_s=1.0)) for _ in range(2)]
    facts[0]["wait_s"] = 0.5
    del facts[1]["wait_s"]
    story = told(*(("bench.worker.facts", fact) for fact in facts))
    assert story.workers[0].wait_share == pytest.approx(0.25)


def test_a_workers_load_is_added_up_over_its_reports():
    """0.9 of 1 s and 0.3 of 2 s: 1.2 of 3 s is 40 %, at most 90 %."""
    facts = [worker_facts(cpu_s=0.9, span_s=1.0), worker_facts(cpu_s=0.3, span_s=2.0)]
    story = told(*(("bench.worker.facts", msgspec.to_builtins(fact)) for fact in facts))
    assert story.workers[0].share == pytest.approx(0.4)
    assert story.workers[0].busiest == pytest.approx(0.9)


def test_a_phase_keeps_its_last_stats_and_that_it_timed_out():
    early = PhaseStats(phase="profiling", phase_index=0, sent=9, in_flight=2, cancelled=4)
    late = msgspec.structs.replace(early, in_flight=0, cancelled=6)
    story = told(
        ("bench.phase.timeout", {"stats": msgspec.to_builtins(early)}),
        ("bench.phase.completed", {"stats": msgspec.to_builtins(late)}),
    )
    assert story.phases[0]["timed_out"] is True
    assert (story.phases[0]["cancelled"], story.phases[0]["given_up"]) == (6, 4)


def test_a_phase_that_a_person_stopped_did_not_time_out():
    """Of two phases that ended with requests in flight, only the first one's grace was to blame."""
    stats = [PhaseStats(phase=f"p{i}", phase_index=i, sent=5, in_flight=2) for i in range(2)]
    events = [("bench.phase.timeout", {"stats": msgspec.to_builtins(s)}) for s in stats]
    ended = ("bench.run.ended", {"status": "completed"})
    assert told(*events, ended).timed_out() == [0, 1]
    assert told(*events, ("bench.run.ended", {"status": "cancelled"})).timed_out() == [0]


def test_events_of_others_are_passed_over():
    story = told(STARTED, ("track.param", {"a": 1}), ("bench.phase.odd", {"no": "index"}))
    assert story.phases == {}
