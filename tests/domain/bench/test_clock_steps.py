"""Records that straddle a step of the wall clock."""

import msgspec
import numpy as np

from steelyard.domain.bench.clock_steps import ClockSteps, without_stamps
from steelyard.domain.bench.records import MISSING, StampSource
from steelyard.domain.bench.story import Story
from steelyard.kernel.events import Event
from steelyard.testing.journals import T0_NS, WALL_OFFSET_NS, answered, worker_facts

MS = 1_000_000


def rows(*given):
    return np.concatenate(given)


def flight(index, start_ms, took_ms, **more):
    return answered(index, start_ms=start_ms, ttft_ms=took_ms, **more)


def at(milliseconds):
    return T0_NS + milliseconds * MS


def test_only_kernel_stamped_requests_of_that_worker_in_flight_meanwhile_are_hit():
    """A step between 100 and 200 ms on worker 0."""
    batch = rows(
        flight(0, 10, 50),
        flight(1, 90, 20),
        flight(2, 150, 10),
        flight(3, 190, 500),
        flight(4, 201, 5),
        flight(5, 150, 10, worker_id=1),
        flight(6, 150, 10, stamp_source=StampSource.USER),
    )
    hit = ClockSteps({0: [(at(100), at(200))]}).straddled(batch)
    assert hit.tolist() == [False, True, True, True, False, False, False]


def test_an_end_before_its_own_start_is_told_by_itself():
    """The clock went back by an hour: what ended after it seems to have ended long before."""
    batch = flight(0, 150, 10, end_ns=at(150) - 3_600 * 1_000 * MS)
    assert ClockSteps({0: [(at(100), at(200))]}).straddled(batch).tolist() == [True]


def test_no_step_hits_nobody():
    steps = ClockSteps({0: []})
    assert not steps
    assert steps.straddled(flight(0, 0, 5)).tolist() == [False]


def test_what_was_sent_stays_and_what_was_received_goes():
    batch = rows(flight(0, 0, 5), flight(1, 0, 5))
    cleared = without_stamps(batch, np.array([True, False]))
    assert cleared["first_token_ns"].tolist() == [MISSING, at(5)]
    assert cleared["end_ns"].tolist() == [MISSING, at(5)]
    assert cleared["start_ns"].tolist() == batch["start_ns"].tolist()
    assert batch["end_ns"].tolist() == [at(5), at(5)]


def story_of(*facts):
    story = Story()
    for number, fact in enumerate(facts):
        payload = msgspec.to_builtins(fact)
        event = Event(
            run_id="r", stream_id="records", seq=number, mono_ns=number, wall_ns=number,
            host_id="h", boot_id="b", type="bench.worker.facts", payload=payload,
        )  # fmt: skip
        story.fold(event)
    return story


def fact(at_ms, steps, offset_ms=0):
    return msgspec.structs.replace(
        worker_facts(clock_steps=steps),
        mono_ns=at(at_ms),
        wall_offset_ns=WALL_OFFSET_NS + offset_ms * MS,
    )


def test_a_step_lies_between_the_reports_before_and_after_it():
    story = story_of(fact(500, 0), fact(1000, 0), fact(1500, 2, 70), fact(2000, 2, 70))
    assert story.step_spans() == {0: [(at(1000), at(1500))]}
    assert story.workers[0].clock_steps == 2


def test_a_clock_that_went_back_may_have_stamped_that_much_earlier():
    story = story_of(fact(1000, 0), fact(1500, 1, -30))
    assert story.step_spans() == {0: [(at(970), at(1500))]}
