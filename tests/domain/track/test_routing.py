"""Which mirror is told what."""

import pytest

from steelyard.domain.track.events import Artifact, Metric, Params, Tags
from steelyard.domain.track.routing import Rule, is_for

GPU = Metric(name="gpu/0/util", value=1.0, step=0, wall_ns=0, source="collector:gpu")
LOSS = Metric(name="loss", value=1.0, step=0, wall_ns=0)
MODEL = Artifact(name="model.bin", sha256="00", size=1, path="/b", wall_ns=0)
PARAMS = Params(values={"lr": 1}, wall_ns=0)
TAGS = Tags(values={"a": "b"}, wall_ns=0)
EVERYTHING = (GPU, LOSS, MODEL, PARAMS, TAGS)


def told(backend, *rules):
    return [item for item in EVERYTHING if is_for(backend, item, rules)]


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
        (Rule(to=(), type="parameter", name="lr"), []),
    ],
)
def test_a_rule_keeps_back_what_matches_it(rule, kept_back):
    assert told("mlflow", rule) == [item for item in EVERYTHING if item not in kept_back]


def test_the_first_rule_that_matches_decides():
    rules = Rule(to=("*",), name="loss"), Rule(to=(), type="scalar")
    assert told("mlflow", *rules) == [LOSS, MODEL, PARAMS, TAGS]
