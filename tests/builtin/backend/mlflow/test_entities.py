"""What MLflow is sent: names that it takes, parts within its limits, nothing lost between them."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.backend.mlflow.entities import (
    BATCH_MAX,
    TEXTS_MAX,
    Repeats,
    entities_of,
    mlflow_name,
    own_name,
    parts_of,
    text_of,
)
from steelyard.domain.track.events import Artifact, Metric, Params, Tags

WALL_NS = 1_780_000_000_000_000_000


def metric(name="m", value=1.0, step=0, wall_ns=WALL_NS):
    return Metric(name=name, value=value, step=step, wall_ns=wall_ns)


@given(st.text(alphabet=st.sampled_from("ab_0x2fe/.:%# é€\n"), min_size=1, max_size=12))
def test_every_name_is_taken_and_can_be_turned_back(name):
    """By the rules that MLflow's servers check: characters, and paths that mean themselves."""
    for is_path in (False, True):
        sent = mlflow_name(name, is_path=is_path)
        assert re.fullmatch(r"[/\w.\- :]+", sent)
        assert not set(sent.split("/")) & {"", ".", ".."}
        assert own_name(sent) == name


def test_plain_names_stay():
    for name in ("val/accuracy", "optimizer.lr", "größe", "gpu:0", "grad_xent", "p_0.5"):
        assert mlflow_name(name) == name
    assert mlflow_name("acc@5") == "acc_0x40_5"


def test_parts_keep_the_order_and_the_limits():
    """An item that is cut in two is done with its second half."""
    items = [
        *(metric(step=step) for step in range(2_500)),
        Params(values={f"p{n}": n for n in range(250)}, wall_ns=WALL_NS),
        Artifact(name="a", sha256="", size=0, path="", wall_ns=WALL_NS),
        Tags(values={"t": "1"}, wall_ns=WALL_NS),
        Tags(values={"t": "2"}, wall_ns=WALL_NS),
    ]
    parts = list(parts_of(items, {}))
    sent = [entity for part in parts for entity in part.entities]
    assert [e.step for e in sent if e.kind == "metric"] == list(range(2_500))
    assert [e.value for e in sent if e.kind == "param"] == [str(n) for n in range(250)]
    assert [e.value for e in sent if e.kind == "tag"] == ["1", "2"]
    for part in parts:
        texts = [e for e in part.entities if e.kind == "param"]
        assert len(part.entities) <= BATCH_MAX
        assert len(texts) == len({e.name for e in texts}) <= TEXTS_MAX
    ends = [part.end for part in parts]
    assert ends == sorted(ends)
    assert ends[-1] == len(items)
    for part in parts:
        later = [e.index for other in parts[parts.index(part) + 1 :] for e in other.entities]
        assert all(index >= part.end for index in later)


def test_a_request_stays_below_a_million_bytes():
    """Letters beyond ASCII take six bytes each there."""
    items = [Params(values={f"p{n}": "ü" * 6_000 for n in range(100)}, wall_ns=WALL_NS)]
    parts = list(parts_of(items, {}))
    assert sum(len(part.entities) for part in parts) == 100
    assert all(sum(6 * len(e.value) for e in part.entities) < 1_000_000 for part in parts)


def test_what_has_no_place_is_refused_with_its_reason():
    items = [
        metric(value=math.inf),
        metric(name="x" * 251),
        metric(name="%" * 60),
        Params(values={"long": "x" * 6_001, "short": 1}, wall_ns=WALL_NS),
        metric(value=math.nan),
    ]
    refused = {}
    (part,) = parts_of(items, refused)
    assert [entity.index for entity in part.entities] == [3, 4]
    assert set(refused) == {0, 1, 2, 3}
    assert "infinities" in refused[0]
    assert "long" in refused[3]


def test_structures_are_json_and_numbers_are_plain():
    assert text_of([1, {"a": "ü"}]) == '[1, {"a": "ü"}]'
    assert [text_of(value) for value in (0.1, True, None, "x")] == ["0.1", "True", "None", "x"]


def test_only_values_that_are_there_count_as_repeats():
    """What could not be delivered is no repeat when it comes again."""
    repeats = Repeats()
    items = [*entities_of(0, metric()), *entities_of(1, metric(value=2.0))]
    assert repeats.split(items) == (items, [])
    assert repeats.split(items) == (items, [])
    repeats.keep(items)
    assert repeats.split(items) == ([], items)
    later = [*entities_of(0, metric(wall_ns=WALL_NS + 1_000_000))]
    repeats.keep(later)
    assert repeats.split(items) == (items, [])
