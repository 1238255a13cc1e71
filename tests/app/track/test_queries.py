"""Questions to a store of runs."""

import json
import math
import os
import sys
from datetime import UTC, datetime

import duckdb
import pytest

from steelyard.app.track import queries
from steelyard.app.track.experiment import Experiment
from steelyard.app.track.exporting import export
from steelyard.cli.track import gc
from steelyard.kernel.errors import UsageError


@pytest.fixture
def three():
    """Three runs, the second of which failed."""
    made = []
    for number, (name, lr) in enumerate([("tune-a", 0.1), ("tune-b", 0.2), ("other", 0.1)]):
        project, team = ("p", "x") if number else ("q", "y")
        experiment = Experiment(
            name, project, run_id=f"run{number}", tags={"team": team}, params={"lr": lr}
        )
        experiment.start()
        for step in range(3):
            experiment.log_metric("loss", lr / (step + 1), step)
        experiment.log_bytes(name.encode(), "model.bin")
        experiment.stop(error=ValueError("boom") if number == 1 else None)
        made.append(experiment)
    return made


def ids(**wanted):
    return [row["run_id"] for row in queries.runs(**wanted)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["run2", "run1", "run0"]),
        ({"project": "p"}, ["run2", "run1"]),
        ({"status": "failed"}, ["run1"]),
        ({"kind": "bench"}, []),
        ({"name": "tune-*"}, ["run1", "run0"]),
        ({"tags": {"team": "y"}}, ["run0"]),
        ({"limit": 1}, ["run2"]),
    ],
)
def test_runs_are_listed_latest_first_and_filtered(three, wanted, found):
    assert ids(**wanted) == found


def test_a_row_has_tags_parameters_and_last_values(three):
    row = queries.runs(limit=1)[0]
    assert (row["tags"], row["params"]) == ({"team": "x"}, {"lr": 0.1})
    assert row["metrics"] == {"loss": pytest.approx(0.1 / 3)}


@pytest.mark.parametrize("word", ["run1", "tune-b", "./.steelyard/runs/run1"])
def test_a_run_is_named_by_id_name_or_directory(three, word):
    assert queries.show(word)["run_id"] == "run1"


def test_last_is_the_latest_and_a_beginning_is_enough(three):
    assert queries.show("last")["run_id"] == "run2"
    Experiment("x", run_id="zebra").start().stop()
    assert queries.show("ze")["run_id"] == "zebra"
    with pytest.raises(UsageError, match="Several runs begin like this; got 'run'"):
        queries.show("run")
    with pytest.raises(UsageError, match="Did you mean 'zebra'"):
        queries.show("zebar")


def test_a_store_without_runs_says_so():
    assert list(queries.runs()) == []
    with pytest.raises(UsageError, match="There is no such run"):
        queries.show("last")


def test_all_of_a_run_is_shown(three):
    run = queries.show("run1")
    assert (run["status"], run["error_type"], run["error_message"]) == (
        "failed",
        "ValueError",
        "boom",
    )
    assert "ValueError: boom" in run["error_traceback"]
    assert run["metrics"]["loss"]["count"] == 3
    assert run["metrics"]["loss"]["high"] == 0.2
    assert [a["name"] for a in run["artifacts"]] == ["model.bin"]
    assert run["mirrors"] == {}


def test_runs_are_compared(three):
    rows = {row.name: row for row in queries.diff("run0", "run1")}
    assert sorted(rows) == ["loss", "lr", "model.bin", "team"]
    assert rows["lr"].values == (0.1, 0.2)
    assert rows["loss"].change == pytest.approx(1.0)
    assert queries.diff("run0", "run0") == []
    with pytest.raises(UsageError, match="two runs or more"):
        queries.diff("run0")


def test_sql_is_answered_and_refused_in_words(three):
    table = queries.query("SELECT name, count(*) AS n FROM points WHERE step >= ? GROUP BY 1", [1])
    assert list(table) == [{"name": "loss", "n": 6}]
    with pytest.raises(UsageError, match="This query can't be answered"):
        queries.query("SELECT * FROM nothing")
    with pytest.raises(UsageError, match="read-only"):
        queries.query("DELETE FROM run_rows")


def test_points_come_in_the_order_in_which_they_were_logged():
    with Experiment("e") as experiment:
        for step, value in ((5, 1.0), (1, math.nan), (5, 3.0)):
            experiment.log_metric("m", value, step)
        experiment.log_metric("n", 0.0)
    assert [row["step"] for row in queries.points("last", "m")] == [5, 1, 5]
    assert len(queries.points("last")) == 4


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_every_value_is_exported(three, tmp_path, format):
    Experiment("nan", run_id="z").start().log_metric("m", math.nan)
    file = tmp_path / "out" / f"points.{format}"
    assert export(["run0", "z"], file) == 4
    rows = duckdb.sql(f"SELECT run_id, name, step, non_finite FROM '{file}'").fetchall()
    assert min(rows)[:3] == ("run0", "loss", 0)
    assert len(rows) == 4
    if format == "jsonl":
        last = [json.loads(line) for line in file.read_text().splitlines()][-1]
        assert (last["value"], last["non_finite"]) == (None, "nan")


def test_all_facts_are_exported_as_json(three, tmp_path):
    file = tmp_path / "runs.json"
    assert export([], file) == 3
    documents = json.loads(file.read_text())
    assert {d["run_id"] for d in documents} == {"run0", "run1", "run2"}
    with pytest.raises(UsageError, match="Unknown format"):
        export([], tmp_path / "runs.xlsx")


def test_contents_that_no_run_names_are_garbage(three, tmp_path):
    import shutil

    assert queries.collect_garbage(young_s=-1) == []
    shutil.rmtree(three[0].directory)
    would = queries.collect_garbage(young_s=-1, dry_run=True)
    assert len(would) == 1
    assert queries.collect_garbage() == [], "it is young"
    assert queries.collect_garbage(young_s=-1) == would
    assert not os.path.exists(would[0].path)  # noqa: PTH110  a blob's path is text
    assert three[1].get_artifact("model.bin").read_bytes() == b"tune-b"


def test_a_copy_that_was_never_finished_is_garbage(three, tmp_path, capsys):
    left = three[0].store.blobs / ".0123456789abcdef.tmp"
    left.write_bytes(b"half")
    assert queries.collect_garbage() == [], "it is young"
    os.utime(left, (0, 0))
    assert queries.collect_garbage(dry_run=True)[0].path == str(left)
    gc()
    assert capsys.readouterr().out == "Removed 0 contents and 1 unfinished copy, 4 bytes\n"
    assert not left.exists()


def test_no_garbage_is_collected_while_a_run_can_not_be_read(three):
    (three[0].directory / "journal" / "main.journal").write_bytes(b"junk" * 100)
    (three[0].directory / "journal" / "main.journal").rename(three[0].directory / "x")
    with pytest.raises(UsageError, match="may name any content"):
        queries.collect_garbage(young_s=-1)
    assert queries.unreadable()[0][0] == str(three[0].directory)


def test_a_thousand_runs_take_one_pass_and_two_queries(monkeypatch):
    """Counts, not times: no question opens a journal that did not change."""
    from steelyard.runtime.track import index

    for number in range(30):
        with Experiment("e", run_id=f"r{number}") as experiment:
            experiment.log_metrics({f"m{i}": i for i in range(20)})
    opened = []
    original = index.facts_of
    monkeypatch.setattr(index, "facts_of", lambda place: opened.append(place) or original(place))
    assert len(queries.runs()) == 30
    assert len(opened) == 30
    assert queries.diff("r1", "r2") == []
    queries.runs(limit=3)
    assert len(opened) == 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{file}')",
        "COPY (SELECT 1) TO '{file}'",
        "SELECT 1; COPY (SELECT 1) TO '{file}'",
        "ATTACH '{file}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        " ",
    ],
)
def test_a_query_reaches_nothing_but_the_runs(three, tmp_path, sql):
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    with pytest.raises(UsageError):
        queries.query(sql.format(file=file))
    assert file.read_text() == "mine"
    assert len(queries.query("SELECT * FROM runs")) == len(three)


def test_columns_of_one_name_are_told_apart_and_none_is_lost(three):
    table = queries.query(
        "SELECT a.run_id, b.run_id, a.run_id AS run_id_2 FROM runs a JOIN runs b "
        "ON a.run_id = 'run0' AND b.run_id = 'run1'"
    )
    assert list(table) == [{"run_id": "run0", "run_id_3": "run1", "run_id_2": "run0"}]


def test_a_time_with_its_zone_needs_no_other_library(three, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytz", None)
    (row,) = queries.query(
        "SELECT 1 AS one, TIMESTAMPTZ '2026-01-02 03:04:05.000006+02' AS at, "
        "NULL::TIMESTAMPTZ AS at;"
    )
    assert row == {"one": 1, "at": datetime(2026, 1, 2, 1, 4, 5, 6, tzinfo=UTC), "at_2": None}
    with pytest.raises(UsageError, match="cast them to VARCHAR"):
        queries.query("SELECT [now()] AS times")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"status": "finnished"}, "no such status.*Did you mean 'finished'"),
        ({"kind": "benchmark"}, "no such kind.*expected one of track, bench"),
        ({"limit": 0}, "expected 1 or more"),
        ({"limit": -1}, "expected 1 or more"),
        ({"directory": "/nowhere"}, "There is no store of runs; got '/nowhere'"),
    ],
)
def test_a_filter_that_can_find_nothing_is_refused(three, wanted, words):
    with pytest.raises(UsageError, match=words):
        queries.runs(**wanted)


def test_an_id_wins_over_last_and_last_over_a_name(three):
    Experiment("last", run_id="called-last").start().stop()
    Experiment("other", run_id="newest").start().stop()
    assert queries.show("last")["run_id"] == "newest"
    assert queries.show("name:last")["run_id"] == "called-last"
    Experiment("first", run_id="last").start().stop()
    Experiment("first", run_id="newer").start().stop()
    assert queries.show("last")["run_id"] == "last"


def test_projects_with_runs_are_known(three):
    assert queries.projects() == ["p", "q"]


def test_a_file_that_is_there_is_not_replaced_unasked(three, tmp_path):
    file = tmp_path / "points.csv"
    file.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        export(["run0"], file)
    assert file.read_text() == "mine"
    assert export(["run0"], file, force=True) == 3
    assert file.read_text().startswith("run_id")


def test_the_standard_output_and_pipes_are_written_into(three, tmp_path, capfdbinary):
    with pytest.raises(UsageError, match="can't be told by its name"):
        export(["run0"], "-")
    assert export(["run0"], "-", "jsonl") == 3
    assert export(["run0"], "/dev/stdout", "csv") == 3
    out = capfdbinary.readouterr().out.splitlines()
    assert (len(out), out[3][:6]) == (7, b"run_id")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert export(["run0"], tmp_path / "pipe", "json") == 1
    assert json.loads(os.read(reader, 100_000))[0]["run_id"] == "run0"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
