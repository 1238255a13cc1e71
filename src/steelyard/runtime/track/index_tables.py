"""The tables of the query face, and rows on their way into them."""

import json
from typing import Any

import duckdb
import numpy as np

from steelyard.domain.track.run import Run

VERSION = 1
POINTS_AT_ONCE = 250_000

_TABLES = """
CREATE TABLE meta (version INTEGER);
CREATE TABLE run_rows (
    run_no INTEGER, run_id VARCHAR, kind VARCHAR, name VARCHAR, project VARCHAR, status VARCHAR,
    started_ns BIGINT, ended_ns BIGINT, last_ns BIGINT, host_id VARCHAR, command VARCHAR,
    error_type VARCHAR, error_message VARCHAR, error_traceback VARCHAR, unwritten BIGINT,
    directory VARCHAR, fingerprint VARCHAR
);
CREATE TABLE problems (directory VARCHAR, fingerprint VARCHAR, problem VARCHAR);
CREATE TABLE param_rows (run_no INTEGER, name VARCHAR, value VARCHAR, number DOUBLE);
CREATE TABLE tag_rows (run_no INTEGER, name VARCHAR, value VARCHAR);
CREATE TABLE artifact_rows (
    run_no INTEGER, name VARCHAR, version INTEGER, sha256 VARCHAR, size BIGINT, wall_ns BIGINT
);
CREATE TABLE names (name_no INTEGER, name VARCHAR);
CREATE TABLE point_rows (
    run_no INTEGER, name_no INTEGER, step BIGINT, value DOUBLE, wall_ns BIGINT, place BIGINT
);
CREATE TABLE metric_rows (
    run_no INTEGER, name_no INTEGER, count BIGINT, last DOUBLE, last_step BIGINT,
    low DOUBLE, high DOUBLE, mean DOUBLE, non_finite BIGINT
);
CREATE VIEW runs AS SELECT
    run_id, kind, name, project, status, make_timestamp_ns(started_ns) AS started,
    make_timestamp_ns(ended_ns) AS ended,
    CASE WHEN status = 'running' THEN NULL
         ELSE (coalesce(ended_ns, last_ns) - started_ns) / 1e9 END AS duration_s,
    host_id, command, error_type, error_message, unwritten, directory
    FROM run_rows;
CREATE VIEW params AS SELECT run_id, p.name, value, number
    FROM param_rows p JOIN run_rows USING (run_no);
CREATE VIEW tags AS SELECT run_id, t.name, value FROM tag_rows t JOIN run_rows USING (run_no);
CREATE VIEW artifacts AS SELECT run_id, a.name, version, sha256, size,
    make_timestamp_ns(wall_ns) AS logged
    FROM artifact_rows a JOIN run_rows USING (run_no);
CREATE VIEW metrics AS SELECT run_id, n.name, count, last, last_step, low, high, mean, non_finite
    FROM metric_rows m JOIN run_rows USING (run_no) JOIN names n USING (name_no);
CREATE VIEW points AS SELECT run_id, n.name, step, value,
    CASE WHEN isnan(value) THEN 'nan' WHEN value = 'inf'::DOUBLE THEN '+inf'
         WHEN value = '-inf'::DOUBLE THEN '-inf' ELSE '' END AS non_finite,
    make_timestamp_ns(wall_ns) AS logged, place
    FROM point_rows p JOIN run_rows USING (run_no) JOIN names n USING (name_no);
"""
_OF_A_RUN = ("run_rows", "param_rows", "tag_rows", "artifact_rows", "point_rows", "metric_rows")
_SUMMARIZE = """
INSERT INTO metric_rows SELECT run_no, name_no, count(*),
    arg_max(value, (step, place)), max(step),
    min(value) FILTER (isfinite(value)), max(value) FILTER (isfinite(value)),
    avg(value) FILTER (isfinite(value)), count(*) FILTER (NOT isfinite(value))
    FROM point_rows WHERE run_no >= ? GROUP BY ALL
"""


class IndexWriter:
    """Puts runs into an open index; its tables are made when it is new."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, is_new: bool) -> None:
        self._connection = connection
        if is_new:
            connection.execute(_TABLES)
            connection.execute("INSERT INTO meta VALUES (?)", [VERSION])
        row = connection.execute("SELECT coalesce(max(run_no) + 1, 0) FROM run_rows").fetchall()
        self._first = int(row[0][0])
        self._next = self._first
        rows = connection.execute("SELECT name, name_no FROM names").fetchall()
        self._names: dict[str, int] = dict(rows)
        self._names_known = len(self._names)
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._points: tuple[list[int], list[int], list[int], list[float], list[int]] = (
            [], [], [], [], [],
        )  # fmt: skip
        self._place = 0

    def remove(self, directories: list[str]) -> None:
        """Take the runs of these directories out."""
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE gone AS "
            "SELECT run_no FROM run_rows WHERE directory IN (SELECT unnest(?))",
            [directories],
        )
        for table in _OF_A_RUN:
            self._connection.execute(
                f"DELETE FROM {table} WHERE run_no IN (SELECT run_no FROM gone)"  # noqa: S608  ours
            )
        self._connection.execute(
            "DELETE FROM problems WHERE directory IN (SELECT unnest(?))", [directories]
        )

    def begin(self) -> int:
        """Return the number of the next run."""
        number = self._next
        self._next += 1
        return number

    def point(self, run_no: int, name: str, step: int, value: float, wall_ns: int) -> None:
        """Add a value of a metric."""
        name_no = self._names.get(name)
        if name_no is None:
            name_no = self._names[name] = len(self._names)
        runs, names, steps, values, times = self._points
        runs.append(run_no)
        names.append(name_no)
        steps.append(step)
        values.append(value)
        times.append(wall_ns)
        if len(runs) >= POINTS_AT_ONCE:
            self._flush_points()

    def run(self, number: int, run: Run, directory: str, fingerprint: str) -> None:
        """Add a run; its metrics come as points."""
        failure = run.failure
        self._add(
            "run_rows", number, run.run_id, run.kind, run.name, run.project, str(run.status),
            run.started_ns, run.ended_ns, run.last_ns, run.host_id, run.command,
            failure.type if failure else None, failure.message if failure else None,
            failure.traceback if failure else None, run.unwritten, directory, fingerprint,
        )  # fmt: skip
        for name, value in run.params.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            text = json.dumps(value, ensure_ascii=False)
            self._add("param_rows", number, name, text, float(value) if is_number else None)
        for name, value in run.tags.items():
            self._add("tag_rows", number, name, value)
        for kept in run.artifacts:
            self._add(
                "artifact_rows", number, kept.name, kept.version, kept.sha256, kept.size,
                kept.wall_ns,
            )  # fmt: skip

    def problem(self, directory: str, fingerprint: str, problem: str) -> None:
        """Add a directory that can't be read."""
        self._add("problems", directory, fingerprint, problem)

    def finish(self) -> None:
        """Write all that is left, and the summaries of the new runs' metrics."""
        self._flush_points()
        for table, rows in self._rows.items():
            columns: dict[str, np.ndarray] = {}
            for number, values in enumerate(zip(*rows, strict=True)):
                columns[f"c{number}"] = _column(values)
            self._insert(table, columns)
        self._rows.clear()
        new = list(self._names)[self._names_known :]
        if new:
            numbers = np.arange(self._names_known, len(self._names), dtype=np.int32)
            self._insert("names", {"c0": numbers, "c1": _column(tuple(new))})
        self._connection.execute(_SUMMARIZE, [self._first])

    def _add(self, table: str, *values: Any) -> None:
        self._rows.setdefault(table, []).append(values)

    def _flush_points(self) -> None:
        runs, names, steps, values, times = self._points
        if not runs:
            return
        places = np.arange(self._place, self._place + len(runs), dtype=np.int64)
        columns: dict[str, np.ndarray] = {
            "c0": np.array(runs, dtype=np.int32),
            "c1": np.array(names, dtype=np.int32),
            "c2": np.array(steps, dtype=np.int64),
            "c3": np.array(values, dtype=np.float64),
            "c4": np.array(times, dtype=np.int64),
            "c5": places,
        }
        self._connection.register("incoming", columns)
        # What numpy says is NaN comes in as null; a point has a value.
        self._connection.execute(
            "INSERT INTO point_rows "
            "SELECT c0, c1, c2, coalesce(c3, 'nan'::DOUBLE), c4, c5 FROM incoming"
        )
        self._connection.unregister("incoming")
        self._place += len(runs)
        for column in self._points:
            column.clear()

    def _insert(self, table: str, columns: dict[str, np.ndarray]) -> None:
        self._connection.register("incoming", columns)
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")  # noqa: S608  ours
        self._connection.unregister("incoming")


def _column(values: tuple[Any, ...]) -> np.ndarray:
    if all(isinstance(value, int) for value in values):
        return np.array(values, dtype=np.int64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
