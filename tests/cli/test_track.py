"""`steelyard track` as a person meets it."""

import json
import math
from pathlib import Path

import pytest

from steelyard.app.track.experiment import Experiment


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    monkeypatch.setenv("STEELYARD_TRACK_MIRRORS", "thread")
    monkeypatch.delenv("STEELYARD_TRACK_DIR", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # pages are as wide as they are


@pytest.fixture
def made(steelyard):
    """Two runs in the directory where `steelyard` runs."""
    for name, lr in (("first", 0.1), ("second", 0.2)):
        experiment = Experiment(name, "demo", run_id=f"id-{name}", tags={"k": name}).start()
        experiment.log_params({"opt": {"lr": lr}, "seed": 1})
        for step in range(3):
            experiment.log_metric("loss", lr / (step + 1), step)
        experiment.log_metric("bad", math.nan)
        experiment.log_bytes(name.encode(), "model.bin")
        experiment.stop(error=ValueError("boom") if name == "second" else None)


def test_runs_are_a_table_with_the_metrics_asked_for(steelyard, made):
    code, out, err = steelyard("track", "runs", "--metric", "loss,bad")
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["RUN", "NAME", "PROJECT", "STATUS", "STARTED", "(UTC)", "SECONDS",
                            "loss", "bad"]  # fmt: skip
    assert [row.split()[1:4] for row in rows] == [
        ["second", "demo", "failed"], ["first", "demo", "finished"],
    ]  # fmt: skip
    assert rows[1].split()[-2:] == ["0.0333333", "nan"]
    assert not [line for line in out.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--status", "failed"], ["id-second"]),
        (["--name", "f*"], ["id-first"]),
        (["--tag", "k=first"], ["id-first"]),
        (["--limit", "1"], ["id-second"]),
        (["--project", "none"], []),
    ],
)
def test_runs_are_filtered_and_json_is_all_that_is_printed(steelyard, made, words, found):
    code, out, _ = steelyard("track", "runs", "--json", *words)
    assert code == 0
    assert [row["run_id"] for row in json.loads(out)] == found


def test_without_runs_it_says_how_to_make_one(steelyard):
    assert "start_logging" in steelyard("track", "runs")[1]


def test_a_run_is_shown_whole(steelyard, made):
    code, out, _ = steelyard("track", "show", "second")
    assert code == 0
    for words in ("status: failed", "Failed by ValueError: boom", "opt.lr", "model.bin", "nan"):
        assert words in out
    document = json.loads(steelyard("track", "show", "id-f", "--json")[1])
    assert document["metrics"]["bad"]["last"] == {"value": None, "non_finite": "nan"}
    assert document["params"] == {"opt.lr": 0.1, "seed": 1}


def test_runs_are_compared_line_by_line(steelyard, made):
    code, out, _ = steelyard("track", "diff", "first", "second")
    assert code == 0
    lines = {line.split()[1]: line for line in out.splitlines()[1:]}
    assert sorted(lines) == ["k", "loss", "model.bin", "opt.lr"]
    assert "+100.00%" in lines["loss"]
    assert "seed" in steelyard("track", "diff", "first", "second", "--all")[1]
    rows = json.loads(steelyard("track", "diff", "first", "second", "--json")[1])["differences"]
    assert {row["section"] for row in rows} == {"param", "tag", "metric", "artifact"}
    assert "No difference." in steelyard("track", "diff", "first", "first")[1]


def test_sql_is_answered(steelyard, made):
    code, out, _ = steelyard("track", "query", "SELECT count(*) AS n FROM points", "--json")
    assert (code, json.loads(out)) == (0, [{"n": 8}])
    assert steelyard("track", "query", "SELECT 1 AS one")[1].split() == ["one", "1"]


def test_values_are_exported(steelyard, made, tmp_path):
    for dash in (["--to", "-"], ["--to=-"]):
        code, out, _ = steelyard("track", "export", "first", *dash, "--format", "csv")
        assert (code, out.splitlines()[0][:7]) == (0, "run_id,")
    code, out, _ = steelyard("track", "export", "first", "--to", "points.csv")
    assert (code, out) == (0, "Wrote points.csv (4 rows)\n")
    assert (tmp_path / "points.csv").read_text().startswith("run_id,name,step,value,non_finite")


def test_a_run_is_synced_and_its_counts_are_told(steelyard, made, tmp_path):
    words = ["track", "sync", "first", "--backend", "jsonl", "--option", f"directory={tmp_path}/o"]
    code, out, _ = steelyard(*words)
    assert code == 0
    assert out == (
        "jsonl: 6 delivered, 0 retried, 0 dropped, 0 kept back by rules, 0 sampled away\n"
    )
    assert "MIRROR" in steelyard("track", "show", "first")[1]


class Hurried:
    """A clock by which ten seconds go by at each look."""

    now_ns = 0

    def mono_ns(self):
        self.now_ns += 10_000_000_000
        return self.now_ns


def test_a_sync_that_is_not_done_exits_4(steelyard, made, tmp_path, monkeypatch):
    monkeypatch.setattr("steelyard.app.track.mirroring.SystemClock", Hurried)
    (tmp_path / "o").write_text("in the way")
    code, out, _ = steelyard(
        "track", "sync", "first", "--backend", "jsonl", "--option", f"directory={tmp_path}/o",
        "--timeout", "60",
    )  # fmt: skip
    assert code == 4
    assert "0 delivered" in out
    assert "not done: Plugin backend 'jsonl' failed to open the run" in out


def test_garbage_is_told_before_it_goes(steelyard, made):
    assert steelyard("track", "gc", "--dry-run")[1] == "Would remove 0 contents, 0 bytes\n"
    assert json.loads(steelyard("track", "gc", "--json")[1]) == []


def test_a_run_that_can_not_be_read_is_told_on_stderr(steelyard, made, tmp_path):
    (tmp_path / ".steelyard" / "runs" / "bad" / "journal").mkdir(parents=True)
    code, out, err = steelyard("track", "runs", "--json")
    assert (code, len(json.loads(out))) == (0, 2)
    assert err.startswith("left out: ")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "none"], 2, "There is no such run; got 'none'"),
        (["diff", "first"], 2, "two runs or more"),
        (["query", "SELEC"], 2, "can't be answered"),
        (["runs", "--tag", "k"], 2, "expected KEY=VALUE"),
        (["sync", "first"], 2, "has no mirrors"),
        (["sync", "first", "--backend", "nope"], 3, "Unknown backend 'nope'"),
        (["sync", "first", "--option", "a=b"], 2, "--option needs --backend"),
        (["export", "first", "--to", "x.doc"], 2, "Unknown format"),
        (["export", "first", "--to", "--force"], 2, "--to needs a value"),
    ],
)
def test_what_can_not_be_done_is_told(steelyard, made, words, code, said):
    ended, _, err = steelyard("track", *words)
    assert ended == code
    assert said in err


def test_an_unknown_project_is_told_with_those_there_are(steelyard, made):
    code, out, _ = steelyard("track", "runs", "--project", "dmo")
    assert (code, out.strip()) == (
        0, "No runs of this kind in project 'dmo'. Projects with runs: demo.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runs", "--status", "finnished"], "Did you mean 'finished'"),
        (["runs", "--limit", "0"], "1 or more"),
        (["runs", "--store", "/nonexist"], "no store of runs"),
        (["show", "last", "--store", "/nonexist"], "no store of runs"),
        (["export", "--to", "here.csv"], "there already"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error(steelyard, made, words, says):
    Path("here.csv").write_text("mine")
    code, _, err = steelyard("track", *words)
    assert code == 2
    assert says in err


def test_a_join_keeps_all_columns_in_json(steelyard, made):
    sql = "SELECT a.run_id, b.run_id FROM runs a JOIN runs b ON a.run_id < b.run_id"
    code, out, _ = steelyard("track", "query", sql, "--json")
    assert (code, json.loads(out)) == (0, [{"run_id": "id-first", "run_id_2": "id-second"}])
    assert steelyard("track", "query", sql)[1].split()[:2] == ["run_id", "run_id_2"]
