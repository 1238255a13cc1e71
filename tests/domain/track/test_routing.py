"""Which mirror is told what."""

import pytest

from steelyard.domain.track.events import Artifact, Metric, Params, Tags
from steelyard.domain.track.routing import Router, Rule
from steelyard.domain.track.thinning import Away, Sampling

GPU = Metric(name="gpu/0/util", value=1.0, step=0, wall_ns=0, source="collector:gpu")
LOSS = Metric(name="loss", value=1.0, step=0, wall_ns=0)
MODEL = Artifact(name="model.bin", sha256="00", size=1, path="/b", wall_ns=0)
PARAMS = Params(values={"lr": 1}, wall_ns=0)
TAGS = Tags(values={"a": "b"}, wall_ns=0)
EVERYTHING = (GPU, LOSS, MODEL, PARAMS, TAGS)


def told(backend, *rules):
    slots = Router(backend, rules).route("main", EVERYTHING)
    return [slot for slot in slots if not isinstance(slot, Away)]


def test_without_rules_everybody_is_told_everything():
    assert told("mlflow") == list(EVERYTHING)


@pytest.mark.parametrize(
    ("rule", "kept_back"),
    [
        (Rule(to=(), source="collector:*"), [GPU]),
        (Rule(to=(), name="gpu/*"), [GPU]),
        (Rule(to=(), type="artifact"), [MODEL]),
        (Rule(to=(), type="parameter"), [PARAMS]),
        (Rule(to=(), type="tag"), [TAGS]),
        (Rule(to=("wandb",), type="scalar"), [GPU, LOSS]),
        (Rule(to=("ml*",), type="scalar"), []),
        (Rule(to=(), name="LOSS"), []),
        (Rule(to=(), type="parameter", name="l?"), [PARAMS]),
        (Rule(to=(), source="script", type="[pt]a*"), [PARAMS, TAGS]),
    ],
)
def test_a_rule_keeps_back_what_matches_it(rule, kept_back):
    assert told("mlflow", rule) == [item for item in EVERYTHING if item not in kept_back]


def test_the_first_rule_that_matches_decides():
    rules = Rule(to=("*",), name="loss"), Rule(to=(), type="scalar")
    assert told("mlflow", *rules) == [LOSS, MODEL, PARAMS, TAGS]


def test_a_group_is_told_without_the_names_that_a_rule_keeps_back():
    params = Params(values={"lr": 1, "secret/a": 2, "secret/b": 3}, wall_ns=7)
    router = Router("m", [Rule(to=(), type="parameter", name="secret/*")])
    assert router.route("main", [params]) == [Params(values={"lr": 1}, wall_ns=7), Away.RULE]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "metric"}, "no type 'metric'; types are scalar, parameter, tag, artifact"),
        ({"type": "artifact", "sample": Sampling(every=2)}, "sample is for scalars"),
    ],
)
def test_a_rule_that_could_do_nothing_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Rule(to=("*",), **fields)


def values(count, name="loss", second=1):
    return [
        Metric(name=name, value=float(i), step=i, wall_ns=i * second * 10**9 // 10)
        for i in range(count)
    ]


def test_a_value_goes_through_its_rules_sampling_and_then_through_the_mirrors():
    rules = [Rule(to=("*",), name="loss", sample=Sampling(every=2))]
    slots = Router("m", rules, Sampling(every=3)).route("main", values(12))
    assert [slot.step for slot in slots if not isinstance(slot, Away)] == [0, 6]
    assert slots.count(Away.SAMPLED) == 10
    other = Router("m", rules, Sampling(every=3)).route("main", values(6, "other"))
    assert [slot.step for slot in other if not isinstance(slot, Away)] == [0, 3]


def test_a_rule_samples_for_the_mirrors_that_it_names_and_keeps_all_else_from_others():
    rules = [Rule(to=("m",), name="loss", sample=Sampling(every=2))]
    assert Router("other", rules).route("main", values(2)) == [Away.RULE, Away.RULE]
    assert not Router("other", rules).remembers


def test_each_process_of_a_run_is_counted_by_itself():
    router = Router("m", (), Sampling(every=2))
    first, second = values(2)
    assert router.route("main", [first]) == [first]
    assert router.route("child-7", [first]) == [first]
    assert router.route("main", [second]) == [Away.SAMPLED]


def test_what_an_interval_of_a_rule_holds_at_the_end_goes_through_the_mirrors_limit():
    rules = [Rule(to=("*",), sample=Sampling(interval_s=100))]
    router = Router("m", rules, Sampling(total_per_s=1))
    router.route("main", [values(2, "a")[1], values(3, "b")[2]])
    closed = router.close("main")
    assert [slot if isinstance(slot, Away) else slot.name for slot in closed] == ["a", "sampled"]
    assert router.close("main") == router.close("never seen") == []
