"""Values in scratch files."""

import numpy as np
import pytest

from steelyard.domain.bench.summary import PERCENTILES
from steelyard.runtime import value_store
from steelyard.runtime.value_store import ValueStore


@pytest.mark.parametrize("block", [7, 100_000])
def test_values_come_to_the_same_on_disk_and_in_memory(tmp_path, monkeypatch, block):
    monkeypatch.setattr(value_store, "BLOCK_VALUES", block)
    values = np.random.default_rng(5).lognormal(3, 1, 1_000)
    store = ValueStore(tmp_path, ["a", "b"])
    for part in np.array_split(values, 13):
        store.add({"a": part})
    found = store.distribution("a")
    assert found.count == 1_000
    assert found.avg == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std(ddof=1))
    for p in PERCENTILES:
        assert found.percentiles[p] == pytest.approx(np.percentile(values, p), rel=1e-12)
    assert bool(list(tmp_path.iterdir())) is (block == 7)


def test_what_is_missing_is_no_value(tmp_path):
    store = ValueStore(tmp_path, ["a", "b"])
    store.add({"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.nan])})
    assert store.distribution("a").count == 2
    assert store.distribution("b").count == 0
    assert store.distribution("a", infinite=2).count == 4


def test_a_column_may_be_asked_more_than_once(tmp_path):
    store = ValueStore(tmp_path, ["a"])
    store.add({"a": np.array([1.0, 2.0])})
    first = store.distribution("a")
    assert store.distribution("a") == first
    assert first.avg == 1.5
