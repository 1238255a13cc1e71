"""The files that others script against."""

import csv
import json

import pytest
from detailed_runs import exchange, spool

from steelyard.builtin.exporter.chunks_parquet import ChunksParquetExporter
from steelyard.builtin.exporter.csv_metrics import CsvMetricsExporter
from steelyard.builtin.exporter.json_summary import JsonSummaryExporter
from steelyard.builtin.exporter.jsonl_records import JsonlRecordsExporter
from steelyard.builtin.exporter.parquet_records import ParquetRecordsExporter
from steelyard.builtin.exporter.raw_jsonl import RawJsonlExporter
from steelyard.builtin.exporter.timeslices import TimeslicesExporter
from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.testing.journals import answered, fake_plan, record_batch, refused, write_journal

STATISTICS = {
    "unit", "avg", "min", "max", "std", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95",
    "p99", "count", "error_bar",
}  # fmt: skip
PROMISED = (
    "time_to_first_token", "inter_token_latency", "request_latency", "request_throughput",
    "output_token_throughput", "request_count", "error_request_count",
)  # fmt: skip


@pytest.fixture
def view(tmp_path):
    rows = [answered(i, start_ms=i, ttft_ms=20, itl_ms=5, tokens=4) for i in range(3)]
    write_journal(tmp_path, fake_plan(tmp_path), [record_batch([*rows, refused(3, start_ms=3)])])
    with open_run(tmp_path, PluginHost.standard()) as opened:
        yield opened


def test_the_summary_has_the_promised_tags_units_and_numbers(view, tmp_path):
    assert JsonSummaryExporter().export(view) == [str(tmp_path / "profile_export.json")]
    document = json.loads((tmp_path / "profile_export.json").read_text())
    assert set(PROMISED) <= set(document["metrics"])
    for metric in document["metrics"].values():
        assert set(metric) >= STATISTICS
    assert document["metrics"]["request_latency"]["unit"] == "ms"
    assert document["metrics"]["request_latency"]["p99"] == 35
    assert document["metrics"]["request_count"]["avg"] == 3
    assert document["errors"] == [{"kind": "http_status", "count": 1, "status": 500, "example": ""}]
    assert document["verdict"]["status"] == "SUSPECT"
    assert document["config"]["models"] == ["fake-model"]
    assert document["run"]["status"] == "completed"


def test_the_table_has_a_row_per_metric(view, tmp_path):
    assert CsvMetricsExporter().export(view) == [str(tmp_path / "profile_export.csv")]
    with (tmp_path / "profile_export.csv").open(newline="") as file:
        rows = {row["tag"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(view.summary.metrics)
    assert rows["inter_token_latency"]["p50"] == "5.0"
    assert rows["request_throughput"]["p50"] == ""


def test_records_are_written_with_their_failures(view, tmp_path):
    assert JsonlRecordsExporter().export(view) == [str(tmp_path / "profile_export.jsonl")]
    lines = [json.loads(x) for x in (tmp_path / "profile_export.jsonl").read_text().splitlines()]
    assert [line["error_kind"] for line in lines] == ["none"] * 3 + ["http_status"]
    assert ParquetRecordsExporter().export(view) == [str(tmp_path / "profile_export.parquet")]
    assert (tmp_path / "profile_export.parquet").read_bytes()[:4] == b"PAR1"


def test_what_was_not_kept_is_not_invented(view):
    """A run at the level `summary` has no chunks and no bodies; the error says which has."""
    for exporter, level in ((ChunksParquetExporter(), "records"), (RawJsonlExporter(), "raw")):
        with pytest.raises(UsageError, match=f"--export-level {level}"):
            exporter.export(view)


def test_raw_lines_are_joined_once_and_kept(view, tmp_path):
    """A second report finds the file as the first left it."""
    spool(tmp_path, [exchange(i, pieces=(b"a",)) for i in range(4)])
    assert RawJsonlExporter().export(view) == [str(tmp_path / "profile_export_raw.jsonl")]
    first = (tmp_path / "profile_export_raw.jsonl").read_bytes()
    assert RawJsonlExporter().export(view) == [str(tmp_path / "profile_export_raw.jsonl")]
    assert (tmp_path / "profile_export_raw.jsonl").read_bytes() == first


def test_lines_that_the_disk_refused_are_missed(view, tmp_path):
    """The file has what there is, and the exporter says that it is not all, each time."""
    spool(tmp_path, [exchange(i) for i in range(3)])
    for _ in range(2):
        with pytest.raises(FileError, match=r"got '3 lines'; expected 4"):
            RawJsonlExporter().export(view)
    assert len((tmp_path / "profile_export_raw.jsonl").read_text().splitlines()) == 3


def test_slices_are_written_as_a_document_and_as_a_table(tmp_path):
    """Two requests 100 ms apart in slices of 80 ms; the second slice is cut short."""
    rows = [answered(i, start_ms=100 * i, ttft_ms=20, itl_ms=5, tokens=4) for i in range(2)]
    plan = fake_plan(tmp_path, slice_s=0.08)
    write_journal(tmp_path, plan, [record_batch([*rows, refused(2, start_ms=101)])])
    with open_run(tmp_path, PluginHost.standard()) as view:
        files = TimeslicesExporter().export(view)
    names = ["profile_export_timeslices.json", "profile_export_timeslices.csv"]
    assert files == [str(tmp_path / name) for name in names]
    document = json.loads((tmp_path / names[0]).read_text())
    first, second = document["timeslices"]
    assert document["slice_duration_s"] == 0.08
    assert (first["timeslice"], first["is_complete"], second["is_complete"]) == (0, True, False)
    assert second["start_ns"] == first["end_ns"]
    assert first["metrics"]["time_to_first_token"]["p99"] == 20
    never = {"value": None, "non_finite": "+inf"}
    assert second["metrics"]["request_latency_adjusted"]["max"] == never
    with (tmp_path / names[1]).open(newline="") as file:
        table = {(r["timeslice"], r["tag"], r["stat"]): r["value"] for r in csv.DictReader(file)}
    assert table["0", "time_to_first_token", "p99"] == "20.0"
    assert table["1", "request_latency_adjusted", "max"] == "+inf"
    assert table["1", "error_request_count", "avg"] == "1.0"


def test_a_run_without_slices_has_empty_files(view, tmp_path):
    TimeslicesExporter().export(view)
    document = json.loads((tmp_path / "profile_export_timeslices.json").read_text())
    assert document["timeslices"] == []
    assert len((tmp_path / "profile_export_timeslices.csv").read_text().splitlines()) == 1
