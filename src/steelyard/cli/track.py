"""`steelyard track`: list, show, compare, export and query runs; replay what mirrors missed."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from steelyard.kernel.errors import EXIT_OK, EXIT_UNREACHABLE, UsageError

_HELP = """Look at the runs of a store: those of your scripts, and benchmarks.

A script makes runs in two lines:

  from steelyard.track import start_logging

  experiment = start_logging("first", project="demo")

  experiment.log_metric("loss", 0.5)

Runs lie in .steelyard/ (or $STEELYARD_TRACK_DIR), benchmarks in artifacts/. RUN is an id, the
beginning of one, a name (the latest run of it), a run's directory, or `last`. An id wins over
`last`, and `last` over a name; `name:last` is a run that is called so.

Examples:

  steelyard track runs --project demo --metric loss

  steelyard track show last

  steelyard track diff 20261122-0454 last

  steelyard track query "SELECT name, min(value) FROM points GROUP BY name"

  steelyard track export last --to run.parquet

  steelyard track sync last --backend mlflow
"""

app = App(name="track", help=_HELP, help_format="plaintext")

StoreFlag = Annotated[
    Path | None,
    Parameter(name="--store", show_default=False, help="Directory of the runs, not .steelyard."),
]
JsonFlag = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON.")
]
RunWord = Annotated[str, Parameter(name="RUN")]


def _print_json(value: Any) -> None:
    from steelyard.app.track.tables import json_value

    print(json.dumps(json_value(value), indent=2, ensure_ascii=False, allow_nan=False))


@app.command
def runs(  # noqa: PLR0913  each is a flag
    *,
    project: str | None = None,
    status: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    tag: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    metric: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    limit: int = 50,
    store: StoreFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """List runs, latest first.

    Args:
        project: Only this project; benchmarks are in `bench`.
        status: Only running, finished, failed or killed ones.
        kind: Only track, or only bench.
        name: Only this name, which may be a pattern such as 'tune-*'.
        tag: Only runs with this tag: KEY=VALUE. May be repeated.
        metric: Show the last value of this metric. May be repeated, or separated by commas.
        limit: At most so many.
        store: Directory of the runs.
        as_json: Print JSON.
    """
    from steelyard.app.track import queries
    from steelyard.cli.track_pages import runs_page

    tags = dict(_pair(word, "--tag") for word in tag)
    found = queries.runs(
        project=project, status=status, kind=kind, name=name, tags=tags, limit=limit,
        directory=store,
    )  # fmt: skip
    if as_json:
        _print_json(list(found))
    elif not found and project is not None:
        known = ", ".join(queries.projects(directory=store)) or "none"
        print(f"No runs of this kind in project '{project}'. Projects with runs: {known}.")
    else:
        metrics = [one for word in metric for one in word.split(",") if one]
        print(runs_page(list(found), metrics))
    for where, why in queries.unreadable(directory=store):
        print(f"left out: {where}: {why}", file=sys.stderr)


@app.command
def show(run: RunWord, /, *, store: StoreFlag = None, as_json: JsonFlag = False) -> None:
    """Show all that is known of RUN: parameters, metrics, artifacts, mirrors, how it ended."""
    from steelyard.app.track import queries
    from steelyard.cli.track_pages import run_page

    document = queries.show(run, directory=store)
    if as_json:
        _print_json(document)
    else:
        print(run_page(document))


@app.command
def diff(
    *words: Annotated[str, Parameter(name="RUN")],
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    store: StoreFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare runs: parameters, tags, last values of metrics, contents of artifacts.

    Args:
        words: Two runs or more.
        everything: Also show what is the same.
        store: Directory of the runs.
        as_json: Print JSON.
    """
    from steelyard.app.track import queries
    from steelyard.cli.track_pages import diff_page

    found = queries.diff(*words, directory=store, all_rows=everything)
    if as_json:
        _print_json({"runs": list(words), "differences": msgspec.to_builtins(found)})
    else:
        print(diff_page(words, found))


@app.command
def export(
    *words: Annotated[str, Parameter(name="RUN")],
    to: Annotated[str, Parameter(allow_leading_hyphen=True)],
    format: str | None = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    store: StoreFlag = None,
) -> None:
    """Write runs to a file: every value of every metric (csv, jsonl, parquet), or all facts (json).

    Args:
        words: The runs; all of the store when none is named.
        to: The file; `-` for the standard output.
        format: csv, jsonl, parquet or json; told by the file's suffix without it.
        force: Replace a file that is there.
        store: Directory of the runs.
    """
    from steelyard.app.track.exporting import export as write_runs
    from steelyard.app.track.exporting import is_stream

    if to.startswith("--"):
        raise UsageError(
            "--to needs a value", got=to, next_step="See: steelyard track export --help"
        )
    count = write_runs(words, to, format, directory=store, force=force)
    print(f"Wrote {to} ({count} rows)", file=sys.stderr if is_stream(to) else sys.stdout)


@app.command
def query(
    sql: Annotated[str, Parameter(name="SQL")],
    /,
    *,
    store: StoreFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer an SQL query (DuckDB) over the views runs, params, tags, metrics, points, artifacts.

    All have run_id. params: name, value (JSON text), number. metrics: name, count, last, last_step,
    low, high, mean, non_finite. points: name, step, value, non_finite, logged.
    """
    from steelyard.app.track import queries
    from steelyard.cli.track_pages import plain_table

    found = queries.query(sql, directory=store)
    if as_json:
        _print_json(list(found))
    else:
        print(plain_table(found.columns, [list(row.values()) for row in found]))


@app.command
def gc(
    *,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    store: StoreFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove the contents of artifacts that no run names, such as of runs that you deleted.

    A run is deleted by removing its directory. What a process that was killed copied in half goes
    too. Nothing younger than an hour goes, and nothing that is being written.

    Args:
        dry_run: Only say what would be removed.
        store: Directory of the runs.
        as_json: Print JSON.
    """
    from steelyard.app.track import queries

    removed = queries.collect_garbage(directory=store, dry_run=dry_run)
    if as_json:
        _print_json(msgspec.to_builtins(removed))
        return
    total = sum(blob.size for blob in removed)
    verb, halves = "Would remove" if dry_run else "Removed", sum(not b.sha256 for b in removed)
    more = f" and {halves} unfinished {'copy' if halves == 1 else 'copies'}" if halves else ""
    print(f"{verb} {len(removed) - halves} contents{more}, {total:,} bytes")


@app.command
def sync(
    run: RunWord,
    /,
    *,
    backend: str | None = None,
    option: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    timeout: float = 60.0,
    follow: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    store: StoreFlag = None,
    as_json: JsonFlag = False,
) -> int:
    """Deliver to a backend what it has not had yet of RUN; exit 4 when it could not take all.

    Each mirror goes on where it stopped; what was delivered is not sent again.

    Args:
        run: The run.
        backend: Name of the backend; without it all that the run ever had.
        option: Configuration of the backend: KEY=VALUE. May be repeated.
        timeout: Seconds that each may take.
        follow: Go on until the run has ended.
        store: Directory of the runs.
        as_json: Print JSON.
    """
    from steelyard.app.track.backends import typed_options
    from steelyard.app.track.syncing import sync as deliver

    if option and backend is None:
        raise UsageError("--option needs --backend", got=" ".join(option))
    chosen: Any = backend
    if backend is not None and option:
        chosen = {backend: typed_options(backend, dict(_pair(word, "--option") for word in option))}
    synced = deliver(run, chosen, directory=store, timeout_s=timeout, follow=follow)
    if as_json:
        _print_json(msgspec.to_builtins(synced))
    else:
        for one in synced:
            place = one.place
            line = f"{one.label}: {place.delivered} delivered, {place.retried} retried, "
            line += f"{place.dropped} dropped, {place.skipped} kept back by rules, "
            line += f"{place.sampled} sampled away"
            print(line + ("" if one.done else f"; not done: {place.last_error or 'out of time'}"))
    return EXIT_OK if all(one.done for one in synced) else EXIT_UNREACHABLE


def _pair(word: str, flag: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"{flag} takes a name and a value", got=word, expected="KEY=VALUE")
    return key, value
