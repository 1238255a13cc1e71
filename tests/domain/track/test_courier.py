"""A mirror's queue, decided without a thread and a clock."""

import msgspec
import pytest

from steelyard.domain.track.courier import Courier, Open, Place, Policy, Rest, Send, Wait
from steelyard.domain.track.events import Metric
from steelyard.domain.track.ports import Delivery
from steelyard.domain.track.routing import Router, Rule
from steelyard.kernel.units import NS_PER_S

POLICY = Policy(batch_max=3, queue_max=10, first_wait_ns=NS_PER_S, wait_max_ns=4 * NS_PER_S)


def metric(number, name="m"):
    return Metric(name=name, value=float(number), step=number, wall_ns=0)


def courier(*, place=None, items=0, is_open=True, rules=()):
    made = Courier(place, POLICY, Router("m", rules))
    for number in range(items):
        made.take("main", number, [metric(number)])
    if is_open:
        made.opened("ref")
    return made


def steps(action):
    return [item.step for item in action.items]


def test_it_opens_before_it_sends_and_rests_when_all_is_sent():
    mirror = courier(items=2, is_open=False)
    assert mirror.decide(0) == Open()
    mirror.opened("ref")
    assert steps(mirror.decide(0)) == [0, 1]
    mirror.took(Delivery(2), 2, 0)
    assert mirror.decide(0) == Rest()
    assert (mirror.place.reference, mirror.place.delivered) == ("ref", 2)
    assert mirror.place.next_seq == {"main": 2}


def test_a_batch_is_bounded_and_in_order():
    mirror, seen = courier(items=7), []
    while isinstance(action := mirror.decide(0), Send):
        seen.append(steps(action))
        mirror.took(Delivery(len(action.items)), len(action.items), 0)
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]


def test_what_was_not_taken_is_sent_again_first():
    mirror = courier(items=4)
    mirror.took(Delivery(1), len(mirror.decide(0).items), 0)
    assert steps(mirror.decide(0)) == [1, 2, 3]
    mirror.took(Delivery(3), 3, 0)
    assert (mirror.place.delivered, mirror.place.retried) == (4, 2)


def test_failures_are_waited_out_longer_and_longer_up_to_a_bound():
    mirror, waits, now = courier(items=1), [], 0
    for _ in range(5):
        mirror.decide(now)
        mirror.failed("down", now, 1)
        wait = mirror.decide(now)
        assert isinstance(wait, Wait)
        waits.append((wait.until_ns - now) // NS_PER_S)
        now = wait.until_ns
    assert waits == [1, 2, 4, 4, 4]
    mirror.took(Delivery(1), 1, now)
    place = mirror.place
    assert (place.delivered, place.retried, place.dropped, place.last_error) == (1, 5, 0, "")


def test_taking_nothing_is_a_failure():
    mirror = courier(items=2)
    mirror.took(Delivery(0), 2, 0)
    assert isinstance(mirror.decide(0), Wait)
    assert "took nothing" in mirror.place.last_error


@pytest.mark.parametrize("taken", [-3, 99])
def test_a_backend_that_can_not_count_moves_nothing_it_was_not_given(taken):
    mirror = courier(items=5)
    mirror.took(Delivery(taken), 3, 0)
    assert mirror.place.delivered == max(0, min(taken, 3))
    assert mirror.pending == 5 - mirror.place.delivered


def test_what_is_refused_for_good_is_dropped_counted_and_named():
    mirror = courier(items=3)
    mirror.took(Delivery(3, {1: "no NaN here"}), 3, 0)
    assert (mirror.place.delivered, mirror.place.dropped) == (2, 1)
    assert mirror.place.why_dropped == {"no NaN here": 1}
    assert mirror.decide(0) == Rest()


def test_what_a_rule_keeps_back_is_counted_and_its_place_kept():
    mirror, away = courier(rules=[Rule(to=(), name="away")]), metric(0, "away")
    mirror.take("main", 0, [])
    mirror.take("main", 1, [away, metric(1), away, metric(2)])
    mirror.take("main", 2, [away])
    assert steps(mirror.decide(0)) == [1, 2]
    mirror.took(Delivery(2, {0: "no"}), 2, 0)
    assert mirror.decide(0) == Rest()
    place = mirror.place
    assert (place.delivered, place.dropped, place.skipped) == (1, 1, 3)
    assert place.next_seq == {"main": 3}


def test_another_courier_goes_on_in_the_middle_of_an_event():
    first = courier()
    first.take("main", 0, [metric(0)])
    first.take("main", 1, [metric(1), metric(2), metric(3)])
    first.took(Delivery(2), len(first.decide(0).items), 0)
    kept = msgspec.json.decode(msgspec.json.encode(first.place), type=Place)
    assert (kept.next_seq, kept.within) == ({"main": 1}, {"main": 1})
    second = courier(place=kept)
    assert not second.needs("main", 0)
    assert second.needs("main", 1)
    second.take("main", 1, [metric(1), metric(2), metric(3)])
    second.take("main", 2, [metric(4)])
    assert steps(second.decide(0)) == [2, 3, 4]
    second.took(Delivery(3), 3, 0)
    assert second.place.delivered == 5
    assert (second.place.next_seq, second.place.within) == ({"main": 3}, {})


def test_streams_have_places_of_their_own():
    mirror = courier()
    mirror.take("main", 7, [metric(0)])
    mirror.take("child-1", 0, [metric(1)])
    mirror.took(Delivery(2), 2, 0)
    assert mirror.place.next_seq == {"main": 8, "child-1": 1}


def test_the_queue_has_an_end():
    mirror = courier(items=9)
    assert mirror.has_room
    mirror.take("main", 9, [metric(9)])
    assert not mirror.has_room
