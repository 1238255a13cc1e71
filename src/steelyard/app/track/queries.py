"""Questions to a store of runs, answered from its index."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import duckdb

from steelyard.app.track.tables import Table, distinct
from steelyard.domain.track.diff import Difference, differences
from steelyard.domain.track.run import Status
from steelyard.kernel.errors import UsageError, did_you_mean
from steelyard.runtime.track import index
from steelyard.runtime.track.blobs import YOUNG_S, Blob, BlobStore
from steelyard.runtime.track.layout import Store

LAST = "last"
NAME_PREFIX = "name:"
RUN_COLUMNS = (
    "run_id", "kind", "name", "project", "status", "started", "ended", "duration_s", "host_id",
    "error_type", "error_message", "unwritten", "directory", "tags", "params", "metrics",
)  # fmt: skip
_ZONED = "TIMESTAMP WITH TIME ZONE"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DETAILS = {
    "tags": "SELECT run_id, name, value FROM tags",
    "params": "SELECT run_id, name, value FROM params",
    "metrics": "SELECT run_id, name, last FROM metrics",
}
KINDS = ("track", "bench")
POINTS = "SELECT run_id, name, step, value, non_finite, logged FROM points"
POINTS_ORDER = " ORDER BY run_id, name, place"


@dataclass(frozen=True)
class Filter:
    """Which runs are meant; what is None or empty asks for nothing. `name` may be a pattern."""

    project: str | None = None
    status: str | None = None
    kind: str | None = None
    name: str | None = None
    tags: Mapping[str, str] | None = None

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row of `runs` is meant."""
        exact = ("project", "status", "kind")
        return (
            all(getattr(self, key) in (None, row[key]) for key in exact)
            and (self.name is None or fnmatchcase(row["name"], self.name))
            and all(row["tags"].get(key) == value for key, value in (self.tags or {}).items())
        )


def runs(
    *,
    project: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    limit: int | None = None,
    directory: str | Path | None = None,
) -> Table:
    """Return the runs of a store, latest first, benchmarks among them.

    A row has tags, params, and the last value of each metric.

    Args:
        project: only runs of this one.
        status: only runs that are running, finished, failed or killed.
        kind: only `track` or only `bench`.
        name: only runs of this name, which may be a pattern (`tune-*`).
        tags: only runs with these tags.
        limit: at most so many.
        directory: the store; `STEELYARD_TRACK_DIR` or `.steelyard` without it.

    Raises:
        UsageError: there is no such status or kind, no run is asked for, or there is no store.
        FileError: the index can't be written.
    """
    check_word("status", status, tuple(Status))
    check_word("kind", kind, KINDS)
    if limit is not None and limit < 1:
        raise UsageError("limit is how many runs are listed", got=limit, expected="1 or more")
    wanted = Filter(project, status, kind, name, tags)
    with index.opened(store_of(directory)) as connection:
        found = [row for row in _rows(connection) if wanted.takes(row)]
    chosen = found if limit is None else found[:limit]
    return Table(RUN_COLUMNS, [tuple(row[c] for c in RUN_COLUMNS) for row in chosen])


def check_word(what: str, word: str | None, known: Sequence[str]) -> None:
    """Check that a filter can find anything.

    Raises:
        UsageError: it can't.
    """
    if word is not None and word not in known:
        raise UsageError(
            f"There is no such {what}",
            got=word,
            expected="one of " + ", ".join(known),
            next_step=did_you_mean(word, known) or None,
        )


def store_of(directory: str | Path | None) -> Store:
    """Return the store that is asked for.

    Raises:
        UsageError: it is named and not there. The usual one need not be there: it has no runs yet.
    """
    if directory is not None and not Path(directory).is_dir():
        raise UsageError(
            "There is no store of runs",
            got=str(directory),
            expected="a directory, such as .steelyard, in which a script has logged",
        )
    return Store.of(directory)


def projects(*, directory: str | Path | None = None) -> list[str]:
    """Return the projects that have runs.

    Raises:
        UsageError: there is no store.
    """
    with index.opened(store_of(directory)) as connection:
        rows = connection.execute("SELECT DISTINCT project FROM runs ORDER BY 1").fetchall()
    return [str(row[0]) for row in rows]


def _rows(
    connection: duckdb.DuckDBPyConnection, run_id: str | None = None
) -> Iterator[dict[str, Any]]:
    plain = ", ".join(column for column in RUN_COLUMNS if column not in _DETAILS)
    where, values = (" WHERE run_id = ?", [run_id]) if run_id is not None else ("", [])
    cursor = connection.execute(
        f"SELECT {plain} FROM runs{where} ORDER BY started DESC, run_id DESC",  # noqa: S608  ours
        values,
    )
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for detail, sql in _DETAILS.items():
        by_run: dict[str, dict[str, Any]] = {}
        for owner, name, value in connection.execute(sql + where, values).fetchall():
            by_run.setdefault(owner, {})[name] = json.loads(value) if detail == "params" else value
        for row in rows:
            row[detail] = by_run.get(row["run_id"], {})
    return iter(rows)


def resolve(connection: duckdb.DuckDBPyConnection, word: str) -> str:
    """Return the id of the run that `word` means.

    It is an id; `last`, the latest of all; a name (the latest run of it), also `name:NAME`, for one
    that is called `last`; a run's directory, or the beginning of an id. What comes first here wins.

    Raises:
        UsageError: it means none, or several.
    """
    found: list[Any] = []
    for sql, value in _meanings(word):
        found = connection.execute(sql, value).fetchall()
        if found:
            break
    if len(found) == 1:
        return str(found[0][0])
    if found:
        raise UsageError(
            "Several runs begin like this",
            got=word,
            expected="one of " + ", ".join(str(row[0]) for row in found[:8]),
        )
    rows = connection.execute("SELECT run_id FROM runs UNION SELECT name FROM runs").fetchall()
    raise UsageError(
        "There is no such run",
        got=word,
        expected="an id or its beginning, a name, a run's directory, or 'last'",
        next_step=did_you_mean(word, [str(row[0]) for row in rows]) or "See: steelyard track runs",
    )


def _meanings(word: str) -> Iterator[tuple[str, list[str]]]:
    yield "SELECT run_id FROM runs WHERE run_id = ? LIMIT 1", [word]
    if word == LAST:
        yield "SELECT run_id FROM runs ORDER BY started DESC, run_id DESC LIMIT 1", []
    named = "SELECT arg_max(run_id, started) FROM runs WHERE name = ? HAVING count(*) > 0"
    yield named, [word]
    if word.startswith(NAME_PREFIX):
        yield named, [word.removeprefix(NAME_PREFIX)]
    if "/" in word or word in {".", ".."}:
        yield "SELECT run_id FROM runs WHERE directory = ?", [str(Path(word).absolute())]
    else:
        yield "SELECT run_id FROM runs WHERE starts_with(run_id, ?) ORDER BY run_id", [word]


def show(run: str, *, directory: str | Path | None = None) -> dict[str, Any]:
    """Return all that is known of a run, but the points of its metrics.

    Raises:
        UsageError: there is no such run.
    """
    store = store_of(directory)
    with index.opened(store) as connection:
        run_id = resolve(connection, run)
        (row,) = list(_rows(connection, run_id))[:1]
        row["metrics"] = {
            name: dict(zip(_SERIES, numbers, strict=True))
            for name, *numbers in connection.execute(
                f"SELECT name, {', '.join(_SERIES)} FROM metrics "  # noqa: S608  ours
                "WHERE run_id = ? ORDER BY name",
                [run_id],
            ).fetchall()
        }
        row["artifacts"] = [
            dict(zip(("name", "version", "sha256", "size", "logged"), each, strict=True))
            for each in connection.execute(
                "SELECT name, version, sha256, size, logged FROM artifacts "
                "WHERE run_id = ? ORDER BY logged, name",
                [run_id],
            ).fetchall()
        ]
        (facts,) = connection.execute(
            "SELECT command, error_traceback FROM run_rows WHERE run_id = ? LIMIT 1", [run_id]
        ).fetchall()
        row["command"], row["error_traceback"] = facts
    row["mirrors"] = _mirrors(Path(row["directory"]))
    return row


_SERIES = ("count", "last", "last_step", "low", "high", "mean", "non_finite")


def _mirrors(directory: Path) -> dict[str, Any]:
    # Mirrors import the numbers of a journal's records; most questions are not about them.
    import msgspec

    from steelyard.runtime.track.layout import RunPlace
    from steelyard.runtime.track.mirror import mirrors_of

    found = mirrors_of(RunPlace(directory))
    return {label: msgspec.to_builtins(file.place) for label, file in found.items()}


def diff(
    *words: str, directory: str | Path | None = None, all_rows: bool = False
) -> list[Difference]:
    """Return what differs between two runs or more: parameters, tags, metrics and artifacts.

    Args:
        words: the runs; see `resolve`.
        directory: the store.
        all_rows: also what is the same.

    Raises:
        UsageError: fewer than two runs are named, or there is no such run.
    """
    if len(words) < 2:
        raise UsageError("A comparison needs two runs or more", got=list(words))
    with index.opened(store_of(directory)) as connection:
        return differences(
            [_sections(connection, resolve(connection, word)) for word in words],
            all_rows=all_rows,
        )


def _sections(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, dict[str, Any]]:
    (row,) = list(_rows(connection, run_id))[:1]
    hashes = connection.execute(
        "SELECT name, arg_max(sha256, version) FROM artifacts WHERE run_id = ? GROUP BY name",
        [run_id],
    ).fetchall()
    return {
        "param": row["params"],
        "tag": row["tags"],
        "metric": row["metrics"],
        "artifact": dict(hashes),
    }


def query(
    sql: str, parameters: Sequence[Any] = (), *, directory: str | Path | None = None
) -> Table:
    """Return what an SQL query finds in the views runs, params, tags, metrics, points, artifacts.

    The index is open for reading only, and a query reaches no other file and no network.

    Raises:
        UsageError: there is no query, or DuckDB refuses it.
    """
    if not sql.strip():
        raise UsageError("There is no query", expected="SQL, such as SELECT * FROM runs")
    with index.opened(store_of(directory)) as connection:
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            return _answer(connection, sql, list(parameters))
        except duckdb.Error as error:
            hint = "Views: runs, params, tags, metrics, points, artifacts."
            if "pytz" in str(error):
                hint = "Times with a zone inside of lists and structs: cast them to VARCHAR."
            raise UsageError(
                f"This query can't be answered: {str(error).strip()}", next_step=hint
            ) from error


def _answer(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any]) -> Table:
    cursor = connection.execute(sql, parameters)
    columns = cursor.description or []
    zoned = [place for place, column in enumerate(columns) if str(column[1]) == _ZONED]
    if zoned:
        # DuckDB asks for another library to read these; their microseconds need none.
        picked = ", ".join(
            f"epoch_us(#{place + 1})" if place in zoned else f"#{place + 1}"
            for place in range(len(columns))
        )
        sql = f"SELECT {picked} FROM (\n{sql.strip().rstrip(';')}\n)"  # noqa: S608  it is the user's own
        cursor = connection.execute(sql, parameters)
    rows = cursor.fetchall()
    if zoned:
        rows = [
            tuple(_at(value) if place in zoned else value for place, value in enumerate(row))
            for row in rows
        ]
    return Table(distinct([str(column[0]) for column in columns]), rows)


def _at(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def points(run: str, metric: str | None = None, *, directory: str | Path | None = None) -> Table:
    """Return the values of a run's metrics, or of one, in the order in which they were logged.

    Raises:
        UsageError: there is no such run.
    """
    with index.opened(store_of(directory)) as connection:
        values = [resolve(connection, run)]
        sql = POINTS + " WHERE run_id = ?"
        if metric is not None:
            sql += " AND name = ?"
            values.append(metric)
        cursor = connection.execute(sql + POINTS_ORDER, values)
        return Table([column[0] for column in cursor.description or ()], cursor.fetchall())


def unreadable(*, directory: str | Path | None = None) -> list[tuple[str, str]]:
    """Return the directories that look like runs and can't be read, with why."""
    with index.opened(store_of(directory)) as connection:
        return [(str(where), str(why)) for where, why in index.problems(connection)]


def collect_garbage(
    *, directory: str | Path | None = None, dry_run: bool = False, young_s: float = YOUNG_S
) -> list[Blob]:
    """Remove artifacts' contents that no run names, and copies that died half; return them.

    Args:
        directory: the store.
        dry_run: remove nothing.
        young_s: contents younger than this are kept: their run may be about to name them.

    Raises:
        UsageError: a run can't be read, and may name any of them.
    """
    store = store_of(directory)
    bad = [
        where for where, _ in unreadable(directory=directory) if Path(where).parent == store.runs
    ]
    if bad:
        raise UsageError(
            "A run can't be read, and may name any content",
            got=bad[0],
            next_step="Mend it or move it away. See: steelyard track runs",
        )
    blobs = BlobStore(store.blobs)
    with index.opened(store) as connection:
        named = connection.execute("SELECT DISTINCT sha256 FROM artifacts").fetchall()
    garbage = blobs.unreferenced({str(row[0]) for row in named}, young_s=young_s)
    garbage += blobs.unfinished(young_s=young_s)
    if not dry_run:
        for blob in garbage:
            Path(blob.path).unlink(missing_ok=True)
    return garbage
