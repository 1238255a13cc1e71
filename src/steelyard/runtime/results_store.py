"""Records in a DuckDB file of their own: columns in, exact statistics and exports out.

The file is scratch: it is made from the journal and goes with the view. DuckDB's memory is bounded
and it spills beside its file, so a run's length costs disk, not memory.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np

from steelyard.domain.bench.records import (
    RECORD_DTYPE,
    ErrorKind,
    StampSource,
    TokenProvenance,
)
from steelyard.domain.bench.summary import PERCENTILES

MEMORY_LIMIT = "160MB"
THREADS = 2
PAGE_ROWS = 8192

_SQL_TYPES = {
    "<i8": "BIGINT",
    "<i4": "INTEGER",
    "<i2": "SMALLINT",
    "|i1": "TINYINT",
    "|b1": "BOOLEAN",
}

LEADING_COLUMNS = (
    "x_request_id", "schedule_index", "attempt", "worker_id", "host_id", "session_id", "turn",
    "phase", "endpoint_url", "conn_id", "conn_reused", "intended_ns", "start_ns", "sent_ns",
    "first_byte_ns", "first_token_ns", "first_output_ns", "second_token_ns", "last_token_ns",
    "end_ns", "stamp_lower_ns", "stamp_source", "coalesced_events", "chunks", "input_tokens",
    "output_tokens", "reasoning_tokens", "token_provenance", "status", "error_kind", "cancelled",
)  # fmt: skip
"""The record columns of every export, in this order; what else a record holds follows them."""

_COPY = {
    "parquet": "COPY records_export TO $path "
    "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 32768)",
    "jsonl": "COPY records_export TO $path (FORMAT json)",
    "csv": "COPY records_export TO $path (FORMAT csv, HEADER)",
}
FORMATS = tuple(_COPY)


class Distribution(msgspec.Struct, frozen=True):
    """Statistics of one column; None where there are too few values.

    `std` is the sample's (n - 1); percentiles interpolate linearly between order statistics
    (Hyndman and Fan 1996, definition 7), as numpy does.
    """

    count: int = 0
    avg: float | None = None
    min: float | None = None
    max: float | None = None
    std: float | None = None
    percentiles: dict[int, float] = {}


class ExportNames(msgspec.Struct, frozen=True):
    """What stands in exports for the numbers in records."""

    run_id: str
    host_id: str
    phases: tuple[str, ...]
    urls: tuple[str, ...]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _lookup(names: Sequence[str], column: str) -> str:
    """SQL for the name at a 0-based number; null for one that has no name, such as MISSING."""
    return f"list_extract([{', '.join(map(_literal, names))}]::VARCHAR[], {column} + 1)"


def _lower_names(kinds: type[StampSource | TokenProvenance | ErrorKind]) -> list[str]:
    return [kind.name.lower() for kind in kinds]


def _export_expressions(names: ExportNames) -> dict[str, str]:
    run = _literal(names.run_id)
    made = {
        # kernel.ids.make_request_id, in SQL; a test holds the two together.
        "x_request_id": f"{run} || '-p' || phase || '-' || schedule_index || "
        "CASE WHEN turn > 0 THEN '.' || turn ELSE '' END || '-' || attempt",
        "host_id": _literal(names.host_id),
        "session_id": f"{run} || '-s' || nullif(session, -1)",
        "phase": _lookup(names.phases, "phase"),
        "endpoint_url": _lookup(names.urls, "endpoint_url"),
        "stamp_source": _lookup(_lower_names(StampSource), "stamp_source"),
        "token_provenance": _lookup(_lower_names(TokenProvenance), "token_provenance"),
        "error_kind": _lookup(_lower_names(ErrorKind), "error_kind"),
    }
    plain = {
        name: name if RECORD_DTYPE[name] == np.bool_ else f"nullif({name}, -1)"
        for name in RECORD_DTYPE.names or ()
        if name != "session"
    }
    both = plain | made
    order = [*LEADING_COLUMNS, *(name for name in plain if name not in LEADING_COLUMNS)]
    return {name: both[name] for name in order}


class RecordStore:
    """Holds a run's records with the values of its metrics.

    Args:
        directory: where the scratch file goes; it must exist.
        metrics: tags of metrics with a value per request.
        chunk_metrics: tags of metrics with a value per gap.
    """

    def __init__(
        self, directory: Path, metrics: Sequence[str], chunk_metrics: Sequence[str]
    ) -> None:
        self._connection = duckdb.connect(
            str(directory / "records.duckdb"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": THREADS,
                "temp_directory": str(directory / "spill"),
                # Nothing here may reach for the network.
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        self._columns = {("records", tag): f"m{i}" for i, tag in enumerate(metrics)}
        self._columns |= {("gaps", tag): f"m{i}" for i, tag in enumerate(chunk_metrics)}
        self.rows = 0
        fields = [f"{n} {_SQL_TYPES[RECORD_DTYPE[n].str]}" for n in RECORD_DTYPE.names or ()]
        self._create("records", ["seq BIGINT", *fields, *self._metric_fields("records")])
        if chunk_metrics:
            self._create("gaps", self._metric_fields("gaps"))

    def _metric_fields(self, table: str) -> list[str]:
        return [f"{column} DOUBLE" for (t, _), column in self._columns.items() if t == table]

    def _create(self, table: str, fields: Sequence[str]) -> None:
        self._connection.execute(f"CREATE TABLE {table} ({', '.join(fields)})")

    def add(self, batch: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Append rows of `RECORD_DTYPE` with float64 metric values; NaN is stored as null."""
        columns: dict[str, np.ndarray] = {
            "seq": np.arange(self.rows, self.rows + batch.size, dtype=np.int64)
        }
        for name in RECORD_DTYPE.names or ():
            columns[name] = np.ascontiguousarray(batch[name])
        for tag, array in values.items():
            columns[self._columns["records", tag]] = array
        self._insert("INSERT INTO records BY NAME SELECT * FROM incoming", columns)
        self.rows += batch.size

    def add_gaps(self, values: Mapping[str, np.ndarray]) -> None:
        """Append float64 values of chunk metrics, one per gap, in all of them."""
        columns = {self._columns["gaps", tag]: array for tag, array in values.items()}
        self._insert("INSERT INTO gaps BY NAME SELECT * FROM incoming", columns)

    def _insert(self, statement: str, columns: dict[str, np.ndarray]) -> None:
        self._connection.register("incoming", columns)
        self._connection.execute(statement)
        self._connection.unregister("incoming")

    def distributions(self, table: str) -> dict[str, Distribution]:
        """Return the exact statistics of every metric in `records` or `gaps`, by tag."""
        chosen = {tag: column for (t, tag), column in self._columns.items() if t == table}
        if not chosen:
            return {}
        moments = ", ".join(
            f"count({c}), avg({c}), min({c}), max({c}), stddev_samp({c})" for c in chosen.values()
        )
        row = self._connection.table(table).aggregate(moments).fetchall()[0]
        found: dict[str, Distribution] = {}
        for i, (tag, column) in enumerate(chosen.items()):
            count, avg, least, most, std = row[5 * i : 5 * i + 5]
            percentiles = self._percentiles(table, column, count) if count else {}
            found[tag] = Distribution(count, avg, least, most, std, percentiles)
        return found

    def _percentiles(self, table: str, column: str, count: int) -> dict[int, float]:
        """Read the order statistics wanted off a sort that spills, one column at a time.

        `quantile_cont` would keep the whole column in memory and fail at the limit.
        """
        places = {p: p / 100 * (count - 1) for p in PERCENTILES}
        ranks = {math.floor(at) for at in places.values()} | {
            math.ceil(at) for at in places.values()
        }
        wanted = ", ".join(str(rank + 1) for rank in sorted(ranks))
        rows = (
            self._connection.table(table)
            .filter(f"{column} IS NOT NULL")
            .project(f"{column} AS v, row_number() OVER (ORDER BY {column}) AS r")
            .filter(f"r IN ({wanted})")
            .fetchall()
        )
        at_rank = {rank - 1: value for value, rank in rows}
        result: dict[int, float] = {}
        for p, at in places.items():
            low, high = at_rank[math.floor(at)], at_rank[math.ceil(at)]
            result[p] = low + (high - low) * (at - math.floor(at))
        return result

    def prepare_exports(self, names: ExportNames) -> None:
        """Define the export columns; call once, when `names` are known."""
        expressions = _export_expressions(names)
        shown = ", ".join(f"{sql} AS {name}" for name, sql in expressions.items())
        records = self._connection.table("records")
        records.project(f"seq, {shown}").create_view("records_numbered")
        records.project(shown).create_view("records_export")

    def page(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return rows `first..last` (exclusive) in export columns."""
        cursor = self._paged(first, last)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def page_columns(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Return rows `first..last` (exclusive) as arrays, masked where values are missing."""
        arrays: dict[str, np.ndarray] = self._paged(first, last).fetchnumpy()
        return arrays

    def _paged(self, first: int, last: int) -> duckdb.DuckDBPyConnection:
        return self._connection.execute(
            "SELECT * EXCLUDE (seq) FROM records_numbered "
            "WHERE seq >= $first AND seq < $last ORDER BY seq",
            {"first": first, "last": last},
        )

    def copy_to(self, path: Path, format: str) -> None:
        """Write all rows to `path`; `format` is one of `FORMATS`."""
        # Writers of text hold back what other threads are early with: beyond the memory limit
        # at 200,000 rows, and slower than one thread.
        self._connection.execute(f"SET threads = {THREADS if format == 'parquet' else 1}")
        self._connection.execute(_COPY[format], {"path": str(path)})
        self._connection.execute(f"SET threads = {THREADS}")

    def close(self) -> None:
        """Close the scratch file; the owner of its directory removes it."""
        self._connection.close()
