"""Plain rows, and the tables of libraries that may be there."""

import importlib.util
import json
import math
import sys
from datetime import datetime

import pytest

from steelyard.app.track.tables import Table, json_value
from steelyard.kernel.errors import PluginError

TABLE = Table(
    ("run_id", "params", "x"), [("a", {"lr": 0.1}, math.nan), ("b", {"lr": 0.2, "n": 1}, 2.0)]
)


def test_rows_are_dicts_in_order():
    assert [row["run_id"] for row in TABLE] == ["a", "b"]
    assert (TABLE[1]["params"], len(TABLE), TABLE[:1].to_rows()[0]["run_id"]) == (
        {"lr": 0.2, "n": 1}, 2, "a",
    )  # fmt: skip
    assert repr(TABLE) == "<Table of 2 rows: run_id, params, x>"


def test_structures_are_spread_into_columns_that_every_row_has():
    assert TABLE.flat()[1] == {"run_id": "b", "params.lr": 0.2, "x": 2.0, "params.n": 1}
    assert TABLE.flat()[0]["params.n"] is None


def test_documents_are_strict_json():
    text = json.dumps(TABLE.documents(), allow_nan=False)
    assert json.loads(text)[0]["x"] == {"value": None, "non_finite": "nan"}
    assert json_value(datetime(2026, 1, 2, 3)) == "2026-01-02T03:00:00Z"  # noqa: DTZ001  as DuckDB


@pytest.mark.parametrize(
    ("method", "module", "extra"),
    [("to_pandas", "pandas", "pandas"), ("to_polars", "polars", "polars"),
     ("to_arrow", "pyarrow", "arrow")],
)  # fmt: skip
def test_a_library_that_is_not_there_is_named_with_its_extra(monkeypatch, method, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PluginError, match=rf"pip install 'steelyard\[{extra}\]'"):
        getattr(TABLE, method)()


@pytest.mark.parametrize(
    ("method", "module"),
    [("to_pandas", "pandas"), ("to_polars", "polars"), ("to_arrow", "pyarrow")],
)
def test_a_library_that_is_there_gets_the_rows(method, module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install {module}")
    frame = getattr(TABLE, method)()
    assert list(frame["params.lr"]) == [0.1, 0.2] or frame["params.lr"].to_pylist() == [0.1, 0.2]
