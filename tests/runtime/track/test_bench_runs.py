"""A benchmark seen as a run."""

import json

import pytest

from steelyard.app.report import rebuild
from steelyard.kernel.errors import JournalError
from steelyard.runtime.track.bench_runs import read_bench_run
from steelyard.runtime.track.index import opened
from steelyard.runtime.track.layout import RunPlace
from steelyard.testing.journals import answered, fake_plan, record_batch, write_journal


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "artifacts" / "r"


@pytest.fixture
def place(directory):
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(100)]
    write_journal(directory, fake_plan(directory), [record_batch(rows)])
    return RunPlace(directory, is_bench=True)


def test_the_summarys_numbers_are_its_metrics(place, directory):
    rebuild(directory, exporters=["json"])
    run = read_bench_run(place)
    assert run.metrics["time_to_first_token.p50"].last == 20
    assert run.metrics["time_to_first_token.p50"].last_step == 0
    assert run.tags["verdict"] in {"VALID", "SUSPECT", "INVALID"}
    assert run.status == "finished"


def test_a_benchmark_without_a_summary_is_a_run_without_metrics(place):
    run = read_bench_run(place)
    assert (run.metrics, run.status) == ({}, "finished")
    assert run.params["endpoint.type"] == "chat"


def test_a_summary_of_an_earlier_run_in_the_directory_is_not_taken(place, directory):
    rebuild(directory, exporters=["json"])
    file = directory / "profile_export.json"
    document = json.loads(file.read_text())
    document["run"]["run_id"] = "another"
    file.write_text(json.dumps(document))
    assert read_bench_run(place).metrics == {}


def test_a_killed_benchmark_is_killed(directory):
    write_journal(directory, fake_plan(directory), [], status=None)
    assert read_bench_run(RunPlace(directory, is_bench=True)).status == "killed"


def test_a_cancelled_benchmark_failed_and_says_how(directory):
    write_journal(directory, fake_plan(directory), [], status="cancelled")
    run = read_bench_run(RunPlace(directory, is_bench=True))
    assert (run.status, run.tags["ended"]) == ("failed", "cancelled")


def test_the_journal_of_something_else_is_refused(make_run, store):
    make_run("a")
    with pytest.raises(JournalError, match="not that of a benchmark"):
        read_bench_run(RunPlace(store.place("a").path, is_bench=True))


@pytest.mark.parametrize(
    "document",
    [[], {"run": None}, {"run": {"run_id": "r"}, "metrics": []},
     {"run": {"run_id": "r"}, "metrics": {"ttft": {"avg": "soon"}}},
     {"run": {"run_id": "r"}, "metrics": {"ttft": 7}}, {"run": {"run_id": "r"}, "verdict": 1}],
)  # fmt: skip
def test_a_file_that_is_no_summary_costs_the_runs_metrics_and_no_other_run(
    place, directory, document, store
):
    if isinstance(document, dict) and document.get("run"):
        document["run"]["run_id"] = read_bench_run(place).run_id
    (directory / "profile_export.json").write_text(json.dumps(document))
    run = read_bench_run(place)
    assert (run.metrics, run.status) == ({}, "finished")
    assert "no summary" in run.tags["summary"]
    with opened(store) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]
