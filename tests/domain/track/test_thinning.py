"""Fewer values: which are told, and that a mirror that starts again decides alike."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.domain.track.courier import Courier, Place, Policy, Send
from steelyard.domain.track.events import Metric
from steelyard.domain.track.ports import Delivery
from steelyard.domain.track.routing import Router, Rule
from steelyard.domain.track.thinning import Away, Keep, Sampler, Sampling
from steelyard.kernel.units import NS_PER_S


def at(second, value=0.0, name="m", source="script"):
    return Metric(
        name=name, value=value, step=round(second * 10), wall_ns=round(second * NS_PER_S),
        source=source,
    )  # fmt: skip


def told(sampling, items):
    """Return what is told of items, the end of the run included, and how many are away."""
    sampler = Sampler(sampling)
    slots = [slot for item in items for slot in sampler.take(item)] + sampler.close()
    return [s for s in slots if isinstance(s, Metric)], slots.count(Away.SAMPLED)


def test_every_nth_of_each_metric_is_told_from_its_first_on():
    items = [at(i, name=name) for i in range(5) for name in "ab"]
    kept, away = told(Sampling(every=2), items)
    assert [(item.name, item.step) for item in kept] == [
        (name, step) for step in (0, 20, 40) for name in "ab"
    ]
    assert away == 4


# Three seconds: two values, one, three; then the end.
VALUES = [at(0.0, 4), at(0.5, 2), at(1.2, 7), at(2.0, 1), at(2.1, 9), at(2.9, 5)]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("first", [(0, 4), (12, 7), (20, 1)]),
        ("last", [(5, 2), (12, 7), (29, 5)]),
        ("mean", [(5, 3), (12, 7), (29, 5)]),  # (4 + 2) / 2, 7, (1 + 9 + 5) / 3
        ("min", [(5, 2), (12, 7), (20, 1)]),
        ("max", [(0, 4), (12, 7), (21, 9)]),
    ],
)
def test_one_value_stands_for_an_interval(keep, expected):
    kept, away = told(Sampling(interval_s=1, keep=Keep(keep)), VALUES)
    assert [(item.step, item.value) for item in kept] == expected
    assert away == 3


def test_nan_stands_for_an_interval_of_nothing_else_and_marks_a_mean():
    items = [at(0, math.nan), at(0.1, 3), at(0.2, math.nan), at(1, math.nan)]
    for keep in ("min", "max"):
        kept, _ = told(Sampling(interval_s=1, keep=Keep(keep)), items)
        assert [str(item.value) for item in kept] == ["3", "nan"]
    kept, _ = told(Sampling(interval_s=1, keep=Keep.MEAN), items)
    assert math.isnan(kept[0].value)


def test_a_limit_lets_a_burst_of_a_second_through_and_then_its_rate():
    items = [at(i / 100) for i in range(300)]  # 100 a second
    kept, away = told(Sampling(metric_per_s=10), items)
    assert len(kept) == 10 + 30 - 1  # ten at once, then one each tenth of a second
    assert len(kept) + away == 300


def test_a_limit_of_all_is_shared_by_metrics_and_one_of_each_is_not():
    items = [at(0, name=name) for name in "abcdef"]
    assert [item.name for item in told(Sampling(total_per_s=4), items)[0]] == list("abcd")
    assert len(told(Sampling(metric_per_s=1), items)[0]) == 6


def test_a_rate_below_one_a_second_and_a_clock_that_is_set_back():
    kept, _ = told(Sampling(metric_per_s=0.5), [at(s) for s in (100, 101, 102, 103, 5, 6, 7)])
    assert [item.step for item in kept] == [1000, 1020, 50, 70]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"every": 0}, "every must be 1 or more, got 0"),
        ({"interval_s": -1.0}, "interval_s must be"),
        ({"metric_per_s": math.nan}, "metric_per_s must be"),
        ({"total_per_s": math.inf}, "total_per_s must be"),
        ({"every": 2, "interval_s": 1.0}, "two ways"),
        ({"keep": "mean"}, "give interval_s with keep=mean"),
    ],
)
def test_a_sampling_that_makes_no_sense_is_refused(fields, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(fields, Sampling)


SAMPLINGS = st.one_of(
    st.builds(Sampling, every=st.integers(1, 4), metric_per_s=st.sampled_from([0, 0.5, 3])),
    st.builds(
        Sampling, interval_s=st.sampled_from([0.3, 1, 7]), keep=st.sampled_from(list(Keep)),
        total_per_s=st.sampled_from([0, 1, 5]),
    ),
)  # fmt: skip
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["main", "child-1"]), st.lists(st.sampled_from("abx"), max_size=3),
        st.integers(-5, 20),
    ),
    max_size=30,
)  # fmt: skip


def journal(events):
    """Return events as a journal has them: stream, number in it, items."""
    now, seqs, made = 100, {}, []
    for stream, names, tenths in events:
        now += tenths
        seq = seqs[stream] = seqs.get(stream, -1) + 1
        made.append((stream, seq, [at(now / 10, len(made), name, stream) for name in names]))
    return made


def deliver(courier, batches, seen):
    """Deliver so many batches; a mirror that stops then leaves the rest."""
    courier.opened("ref")
    while batches and isinstance(action := courier.decide(0), Send):
        batches -= 1
        seen.extend(action.items)
        courier.took(Delivery(len(action.items)), len(action.items), 0)


@given(
    events=EVENTS, rule=SAMPLINGS, own=SAMPLINGS | st.none(),
    stops=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6), st.booleans()), max_size=4),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_mirror_that_is_stopped_anywhere_tells_in_the_end_what_one_that_is_not_tells(
    events, rule, own, stops
):
    """Some stop while the run goes on, some when it seemed to have ended: it was resumed then."""
    rules = [Rule(to=(), name="x"), Rule(to=("*",), name="a", sample=rule)]
    all_events = journal(events)

    def courier(place):
        return Courier(place, Policy(batch_max=2), Router("m", rules, own))

    def attempt(place, count, batches, *, at_end):
        made = courier(place)
        for stream, seq, items in all_events[:count]:
            if made.needs(stream, seq):
                made.take(stream, seq, items)
        deliver(made, 10_000 if at_end else batches, parts)
        if at_end and made.finish():
            deliver(made, batches, parts)
        return msgspec.json.decode(msgspec.json.encode(made.place), type=Place)

    parts, place, ends = [], Place(), []
    for count, batches, at_end in sorted(stops):
        place = attempt(place, count, batches, at_end=at_end)
        if at_end:
            ends.append(min(count, len(all_events)))
    place = attempt(place, len(all_events), 10_000, at_end=True)
    interrupted, parts = parts, []

    # The one that is not stopped sees the ends too: what was held then was told then.
    whole = courier(Place())
    for number, (stream, seq, items) in enumerate(all_events):
        if number in ends:
            deliver(whole, 10_000, parts)
            whole.finish()
        whole.take(stream, seq, items)
    deliver(whole, 10_000, parts)
    whole.finish()
    deliver(whole, 10_000, parts)
    # Processes log at once: only the order of each is one.
    for stream in ("main", "child-1"):
        assert [i for i in interrupted if i.source == stream] == [
            i for i in parts if i.source == stream
        ]
    counts = ("delivered", "skipped", "sampled")
    assert [getattr(place, c) for c in counts] == [getattr(whole.place, c) for c in counts]
    total = sum(len(items) for _, _, items in all_events)
    assert place.delivered + place.skipped + place.sampled == total
