"""Files out of a run: each plugin on its own."""

import dataclasses
import json

import msgspec
import pytest

from steelyard.domain.bench.plan import PluginChoice
from steelyard.domain.bench.processing import ProcessingResult
from steelyard.domain.bench.summary import Summary
from steelyard.kernel.errors import JournalError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.report import build_report, export_run, post_process
from steelyard.runtime.results import open_run
from steelyard.testing.journals import answered, fake_plan, record_batch, refused, write_journal


@pytest.fixture
def host():
    return PluginHost.standard()


@pytest.fixture
def run(tmp_path, host):
    rows = [answered(0, start_ms=0, ttft_ms=5), refused(1, start_ms=0)]
    write_journal(tmp_path, fake_plan(tmp_path), [record_batch(rows)])
    with open_run(tmp_path, host) as view:
        yield view


class Broken:
    def export(self, view):
        message = "disk on fire"
        raise RuntimeError(message)


class Counting:
    def __init__(self, factor=1):
        self.factor = factor

    async def process(self, results):
        good = sum(row["error_kind"] == "none" for row in results)
        metrics = {"good": good * self.factor, "nan": float("nan")}
        return ProcessingResult(success=True, record_count=len(results), metrics=metrics)


class Failing:
    async def process(self, results):
        message = f"can't process {len(results)} rows"
        raise ValueError(message)


@dataclasses.dataclass
class Result:
    success: bool
    record_count: int


class DataclassGiver:
    async def process(self, results):
        return Result(True, len(results))


def test_an_exporter_that_fails_is_named_and_the_others_write(run, host, tmp_path):
    host.register("exporter", "broken", Broken)
    built = export_run(run, host, ["broken", "json", "absent", "csv"])
    assert sorted(built.files) == ["csv", "json"]
    assert "disk on fire" in built.failures["broken"]
    assert "Unknown exporter 'absent'" in built.failures["absent"]
    assert (tmp_path / "profile_export.json").exists()
    assert (tmp_path / "profile_export.csv").exists()


def test_post_processors_see_every_row_and_their_results_are_kept(run, host, tmp_path):
    host.register("post_processor", "counting", Counting)
    host.register("post_processor", "failing", Failing)
    host.register("post_processor", "odd/../name", DataclassGiver)
    choices = [
        PluginChoice(name="failing"),
        PluginChoice(name="counting", config={"factor": 10}),
        PluginChoice(name="odd/../name"),
    ]
    built = post_process(run, host, choices)
    kept = json.loads((tmp_path / "post_processors" / "counting.json").read_text())
    assert kept == {
        "success": True, "record_count": 2, "metrics": {"good": 10, "nan": None}, "errors": [],
    }  # fmt: skip
    assert "can't process 2 rows" in built.failures["failing"]
    odd = tmp_path / "post_processors" / "odd_.._name.json"
    assert built.files["odd/../name"] == [str(odd)]
    assert json.loads(odd.read_text()) == {"success": True, "record_count": 2}


def test_a_report_is_all_that_the_plan_asks_for(tmp_path, host):
    host.register("post_processor", "counting", Counting)
    choices = (PluginChoice(name="counting"),)
    plan = fake_plan(tmp_path, exporters=("json", "parquet"), post_processors=choices)
    write_journal(tmp_path, plan, [record_batch([answered(0, start_ms=0, ttft_ms=5)])])
    built = build_report(tmp_path, host)
    assert set(built.files) == {"json", "parquet", "post_processors/counting"}
    assert built.failures == {}
    assert built.verdict == built.summary["verdict"]["status"] == "SUSPECT"
    over_the_bus = msgspec.msgpack.decode(msgspec.msgpack.encode(built.summary))
    assert msgspec.convert(over_the_bus, Summary).metrics["request_count"].avg == 1
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "journal", "post_processors", "profile_export.json", "profile_export.parquet",
    }  # fmt: skip


def test_a_directory_without_a_run_has_no_report(tmp_path, host):
    with pytest.raises(JournalError):
        build_report(tmp_path, host)


@pytest.mark.parametrize("looks", [0, 1, 3, 6])
def test_a_report_that_is_given_up_leaves_no_temporary_file(tmp_path, host, looks):
    """Given up as the journal is read, and in the middle of each of the files of rows."""
    plan = fake_plan(tmp_path, exporters=("jsonl", "parquet", "timeslices"), slice_s=0.001)
    rows = [answered(i, start_ms=i, ttft_ms=1) for i in range(9)]
    write_journal(tmp_path, plan, [record_batch(rows)])
    seen = []

    def check():
        seen.append(1)
        if len(seen) > looks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_report(tmp_path, host, check=check)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"journal", "profile_export.jsonl", "profile_export.parquet"}


def test_a_report_tells_what_it_does(tmp_path, host):
    host.register("post_processor", "counting", Counting)
    choices = (PluginChoice(name="counting"),)
    plan = fake_plan(tmp_path, exporters=("json", "csv"), post_processors=choices)
    write_journal(tmp_path, plan, [record_batch([answered(0, start_ms=0, ttft_ms=5)])])
    told = []
    build_report(tmp_path, host, tell=told.append)
    assert told == [
        "reading the journal", "writing json", "writing csv", "post-processing by counting",
    ]  # fmt: skip
