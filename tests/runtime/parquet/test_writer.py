"""What is written as Parquet is read the same by readers that share no code with us."""

import io

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.runtime.parquet.writer import Kind, Names, Numbers, ParquetWriter

TYPES = {Kind.INT8: np.int8, Kind.INT16: np.int16, Kind.INT32: np.int32, Kind.INT64: np.int64}


def written(kinds, *groups):
    """Return the bytes of a file of these row groups."""
    file = io.BytesIO()
    writer = ParquetWriter(file, kinds)
    for group in groups:
        writer.write(group)
    writer.close()
    return file.getvalue()


def by_duckdb(path, data):
    path.write_bytes(data)
    with duckdb.connect() as database:
        found = database.execute("FROM read_parquet($p)", {"p": str(path)})
        names = [column[0] for column in found.description]
        return {n: list(c) for n, c in zip(names, zip(*found.fetchall(), strict=True), strict=True)}


def optional(values, dtype):
    """Return a column of numbers in which None is a null."""
    present = np.array([value is not None for value in values], bool)
    return Numbers(np.array([value or 0 for value in values], dtype), present)


def integers(kind):
    info = np.iinfo(TYPES[kind])
    near = st.integers(-3, 3)
    return st.lists(st.none() | near | st.integers(info.min, info.max), min_size=1, max_size=400)


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_integers_of_any_size_come_back(kind, data):
    """Nulls, the ends of the range, and differences that wrap around."""
    values = data.draw(integers(kind))
    file = written({"n": kind}, {"n": optional(values, TYPES[kind])})
    table = pq.read_table(io.BytesIO(file))
    assert table["n"].to_pylist() == values
    assert str(table.schema.field("n").type) == np.dtype(TYPES[kind]).name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.booleans(), min_size=1, max_size=70),
    st.lists(st.none() | st.text(), min_size=1, max_size=70),
    st.lists(st.integers(-1, 5), min_size=1, max_size=70),
    st.lists(st.text(), max_size=5, unique=True),
)
def test_booleans_texts_and_names_come_back(flags, texts, codes, names):
    rows = min(len(flags), len(texts), len(codes))
    flags, texts, codes = flags[:rows], texts[:rows], codes[:rows]
    file = written(
        {"flag": Kind.BOOLEAN, "text": Kind.TEXT, "name": Kind.TEXT},
        {"flag": optional(flags, bool), "text": texts, "name": Names(np.array(codes), names)},
    )
    expected = [names[code] if 0 <= code < len(names) else None for code in codes]
    assert pq.read_table(io.BytesIO(file)).to_pydict() == {
        "flag": flags,
        "text": texts,
        "name": expected,
    }


@pytest.mark.parametrize("rows", [1, 2, 127, 128, 129, 130, 257, 5000])
def test_every_reader_sees_the_same(tmp_path, rows):
    """At the edges of blocks; stamps that rise, a constant, noise, and several row groups."""
    rng = np.random.default_rng(rows)
    kinds = {"stamp": Kind.INT64, "same": Kind.INT32, "noise": Kind.INT64, "name": Kind.TEXT}
    names = [f"größe {number}" for number in range(300)]
    groups = [
        {
            "stamp": optional(np.cumsum(rng.integers(0, 10**9, rows)).tolist(), np.int64),
            "same": optional([7] * rows, np.int32),
            "noise": optional(rng.integers(-(2**63), 2**63 - 1, rows).tolist(), np.int64),
            "name": Names(rng.integers(0, len(names), rows), names),
        }
        for _ in range(3)
    ]
    file = written(kinds, *groups)
    expected = {
        name: np.concatenate([group[name].values for group in groups]).tolist()
        for name in ("stamp", "same", "noise")
    }
    expected["name"] = [names[code] for group in groups for code in group["name"].codes.tolist()]
    assert pq.read_table(io.BytesIO(file)).to_pydict() == expected
    assert pl.read_parquet(io.BytesIO(file)).to_dict(as_series=False) == expected
    assert by_duckdb(tmp_path / "x.parquet", file) == expected


def test_a_file_may_have_no_row(tmp_path):
    file = written({"n": Kind.INT64, "t": Kind.TEXT}, {"n": optional([], np.int64), "t": []})
    assert pq.read_table(io.BytesIO(file)).to_pydict() == {"n": [], "t": []}
    (tmp_path / "x.parquet").write_bytes(file)
    assert duckdb.read_parquet(str(tmp_path / "x.parquet")).fetchall() == []


def test_columns_of_unequal_length_are_refused():
    writer = ParquetWriter(io.BytesIO(), {"n": Kind.INT64, "t": Kind.TEXT})
    with pytest.raises(ValueError, match="as many rows"):
        writer.write({"n": optional([1], np.int64), "t": ["a", "b"]})


def test_stamps_take_few_bytes():
    """Stamps 50 to 100 microseconds apart take three bytes each, not eight."""
    steps = np.random.default_rng(1).integers(50_000, 100_000, 16_384)
    column = Numbers(np.cumsum(steps), np.ones(steps.size, bool))
    assert len(written({"n": Kind.INT64}, {"n": column})) < 3 * steps.size
