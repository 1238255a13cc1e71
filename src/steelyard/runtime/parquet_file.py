"""Records as a Parquet file: a page of rows is a row group, so that memory stays flat."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from steelyard.domain.bench.export_columns import ExportColumns
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE
from steelyard.runtime.parquet.writer import Kind, Names, Numbers, ParquetWriter, Values

KINDS = {
    np.dtype(np.bool_): Kind.BOOLEAN,
    np.dtype(np.int8): Kind.INT8,
    np.dtype(np.int16): Kind.INT16,
    np.dtype(np.int32): Kind.INT32,
    np.dtype(np.int64): Kind.INT64,
}


def write_parquet(path: Path, pages: Iterable[np.ndarray], columns: ExportColumns) -> None:
    """Write rows of `RECORD_DTYPE` in export columns; null where something did not happen.

    Raises:
        OSError: the file can't be written.
    """
    with path.open("wb") as file:
        writer = ParquetWriter(file, _kinds(columns))
        for page in pages:
            writer.write(_values(page, columns))
        writer.close()


def number_column(array: np.ndarray) -> Numbers:
    """Return a column whose values are null where they are `MISSING`; flags never are."""
    there = np.ones(array.size, bool) if array.dtype == np.bool_ else array != MISSING
    return Numbers(array, there)


def _kinds(columns: ExportColumns) -> dict[str, Kind]:
    computed = columns.computed_arrays(np.empty(0, dtype=RECORD_DTYPE))
    numeric = {name: RECORD_DTYPE[name] for name in columns.numbers}
    numeric |= {name: array.dtype for name, array in computed.items()}
    return {n: KINDS[numeric[n]] if n in numeric else Kind.TEXT for n in columns.order}


def _values(page: np.ndarray, columns: ExportColumns) -> dict[str, Values]:
    made: dict[str, Values] = dict(columns.ids(page))
    made["host_id"] = Names(*columns.hosts(page))
    made |= {name: Names(page[name], columns.names.of(name)) for name in columns.named}
    numeric = {name: page[name] for name in columns.numbers} | columns.computed_arrays(page)
    return made | {name: number_column(array) for name, array in numeric.items()}
