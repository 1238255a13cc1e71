"""Facts go into a journal and come out as they were."""

import math

import msgspec
import pytest

from steelyard.domain.track.events import (
    TYPES,
    Artifact,
    ArtifactLogged,
    Failure,
    Metric,
    MetricsLogged,
    Params,
    ParamsLogged,
    RunEnded,
    RunStarted,
    Tags,
    TagsSet,
    fact_of,
    logged,
    payload_of,
)

FACTS = [
    RunStarted(name="n", project="p", tags={"a": "b"}, pid=3, command="train.py", resumed=True),
    MetricsLogged(0, {"loss": 0.5}, "collector:gpu"),
    ParamsLogged({"lr": 0.1, "list": [1, "x", None]}),
    TagsSet({"a": "b"}),
    ArtifactLogged(name="m", sha256="00", size=1),
    RunEnded(status="failed", failure=Failure(type="ValueError", message="m", traceback="t")),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_survives_the_journal(fact):
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(payload_of(fact)))
    assert fact_of(TYPES[type(fact)], stored) == fact


def test_every_fact_is_tried():
    assert {type(fact) for fact in FACTS} == set(TYPES)


def test_nan_survives_the_journal():
    stored = msgspec.msgpack.decode(
        msgspec.msgpack.encode(payload_of(MetricsLogged(0, {"x": math.nan})))
    )
    assert math.isnan(fact_of("track.metrics", stored).values["x"])


def test_an_event_of_another_kind_is_no_fact():
    assert fact_of("bench.run.started", {"plan": {}}) is None


def test_a_payload_that_lies_is_refused():
    with pytest.raises(msgspec.ValidationError):
        fact_of("track.metrics", {"step": "x", "values": {}})


def test_what_a_later_version_adds_is_passed_over():
    assert fact_of("track.tags", {"values": {}, "colour": "red"}) == TagsSet({})


def test_a_mirror_is_told_one_item_per_value():
    told = logged(MetricsLogged(2, {"a": 1.0, "b": 2.0}, "s"), 7, {})
    assert told == [
        Metric(name="a", value=1.0, step=2, wall_ns=7, source="s"),
        Metric(name="b", value=2.0, step=2, wall_ns=7, source="s"),
    ]
    assert logged(ParamsLogged({"p": 1}), 7, {}) == [Params(values={"p": 1}, wall_ns=7)]
    assert logged(TagsSet({"t": "1"}), 7, {}) == [Tags(values={"t": "1"}, wall_ns=7)]
    assert logged(ArtifactLogged(name="m", sha256="00", size=1), 7, {"00": "/b"}) == [
        Artifact(name="m", sha256="00", size=1, path="/b", wall_ns=7)
    ]


def test_a_mirror_is_told_nothing_of_start_and_end():
    assert [logged(fact, 7, {}) for fact in (FACTS[0], FACTS[-1])] == [[], []]
