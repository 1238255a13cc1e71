"""Records as Parquet say what the same records say as rows."""

import duckdb
import numpy as np
import pytest

from steelyard.domain.bench.plan import EndpointPlan, PhasePlan
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, ErrorKind
from steelyard.runtime import results_store
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.testing.journals import answered, fake_plan, record_batch, refused, write_journal

HOST = PluginHost.standard()


def both(directory, rows, **more):
    """Return what a reader of the Parquet file sees, and the rows."""
    plan = fake_plan(directory, **more)
    write_journal(directory, plan, [record_batch([rows])])
    with open_run(directory, HOST) as view:
        view.write_records(str(directory / "out.parquet"), "parquet")
        expected = list(view.rows())
    with duckdb.connect() as database:
        found = database.execute("FROM read_parquet($p)", {"p": str(directory / "out.parquet")})
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()], expected


@pytest.mark.parametrize("seed", range(3))
def test_every_column_agrees_whatever_is_in_it(tmp_path, monkeypatch, seed):
    """300 rows of numbers that mean nothing, missing ones among them, over several pages."""
    monkeypatch.setattr(results_store, "PARQUET_ROWS", 64)
    rng = np.random.default_rng(seed)
    rows = np.concatenate([answered(i, start_ms=i, ttft_ms=3) for i in range(300)])
    for name in RECORD_DTYPE.names:
        kind = RECORD_DTYPE[name]
        if kind == np.bool_:
            rows[name] = rng.random(rows.size) < 0.5
        elif name not in {"chunks", "stamp_source", "token_provenance", "error_kind"}:
            rows[name] = rng.integers(MISSING, np.iinfo(kind).max // 2, rows.size)
    rows["phase"] = rng.integers(MISSING, 3, rows.size)
    rows["turn"] = rng.integers(0, 3, rows.size)
    rows["endpoint_url"] = rng.integers(MISSING, 2, rows.size)
    rows["error_kind"] = rng.integers(0, len(ErrorKind), rows.size)
    phases = tuple(PhasePlan(name=name) for name in ("a", "it's", "c"))
    endpoint = EndpointPlan(urls=("http://a:1", "http://b:2"))
    more = {"phases": phases, "endpoint": endpoint, "http_trace": True}
    found, expected = both(tmp_path, rows, **more)
    assert found == expected
    assert any(row["phase"] is None for row in expected)
    assert {"sending_ns", "waiting_ns", "receiving_ns"} <= set(expected[0])


def test_what_all_rows_have_in_common_is_there_all_the_same(tmp_path):
    rows = np.concatenate([answered(i, start_ms=1, ttft_ms=5, session=3) for i in range(5)])
    found, expected = both(tmp_path, rows)
    assert found == expected
    assert {row["start_ns"] for row in found} == {expected[0]["start_ns"]}
    assert found[4]["cached_tokens"] is None


def test_a_single_row_is_a_table(tmp_path):
    found, expected = both(tmp_path, refused(0, start_ms=0, kind=ErrorKind.CONNECT))
    assert found == expected
    assert len(found) == 1
