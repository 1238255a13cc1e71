"""A small finished run, as exporters, consoles and post-processors are given it."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.domain.bench.slices import TimeSlice
from steelyard.domain.bench.summary import (
    SUMMARY_SCHEMA,
    Cause,
    ErrorCount,
    MetricSummary,
    RunFacts,
    Summary,
    Verdict,
)

_START_NS = 5_000_000_000


def sample_metric(tag: str, header: str, unit: str, value: float) -> MetricSummary:
    """Return a metric whose numbers lie around `value`."""
    spread: dict[str, Any] = {
        f"p{p}": value * (0.8 + p / 250) for p in (1, 5, 10, 25, 50, 75, 90, 95, 99)
    }
    return MetricSummary(
        tag=tag, header=header, unit=unit, avg=value, min=value * 0.8, max=value * 1.2,
        std=value / 10, count=4, error_bar=value / 100, **spread,
    )  # fmt: skip


def sample_summary(directory: str, *, failed: bool = False) -> Summary:
    """Return the summary of a good run, or of one in which every request failed."""
    metrics = [] if failed else [
        sample_metric("time_to_first_token", "Time to First Token", "ms", 24.5),
        sample_metric("request_latency", "Request Latency", "ms", 180.25),
        sample_metric("request_throughput", "Request Throughput", "requests/s", 41.0),
    ]  # fmt: skip
    cause = Cause(code="error_rate", status="INVALID", message="4 of 4 requests failed")
    return Summary(
        schema_version=SUMMARY_SCHEMA,
        verdict=Verdict(status="INVALID", causes=(cause,)) if failed else Verdict(),
        metrics={metric.tag: metric for metric in metrics},
        config={"run_id": "sample-run", "models": ["model-under-test"], "endpoint": {}},
        run=RunFacts(
            run_id="sample-run",
            status="completed",
            steelyard_version="0",
            started_wall_ns=1_700_000_000_000_000_000,
            ended_wall_ns=1_700_000_002_000_000_000,
            duration_s=2.0,
            wall_offset_ns=1_699_999_995_000_000_000,
            host={"cpus": 2},
            artifact_dir=directory,
        ),
        errors=(ErrorCount(kind="connect", count=4, example="refused"),) if failed else (),
    )


def sample_rows(count: int = 4, *, failed: bool = False) -> list[dict[str, Any]]:
    """Return rows with the most used of the export columns."""
    rows = []
    for index in range(count):
        start_ns = _START_NS + index * 50_000_000
        answered = None if failed else start_ns
        rows.append({
            "x_request_id": f"sample-run-p0-{index}-0",
            "schedule_index": index,
            "phase": "profiling",
            "worker_id": 0,
            "intended_ns": start_ns - 1_000,
            "start_ns": start_ns,
            "first_token_ns": None if answered is None else answered + 24_500_000,
            "end_ns": start_ns + 180_250_000,
            "input_tokens": 16,
            "output_tokens": None if failed else 8,
            "status": None if failed else 200,
            "error_kind": "connect" if failed else None,
            "cancelled": False,
        })  # fmt: skip
    return rows


@dataclass
class SampleRun:
    """A `RunView` over rows in memory."""

    directory: str
    failed: bool = False
    summary: Summary = field(init=False)
    _rows: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.summary = sample_summary(self.directory, failed=self.failed)
        self._rows = sample_rows(failed=self.failed)

    def rows(self) -> Sequence[dict[str, Any]]:
        """Return one dict per request."""
        return self._rows

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield all rows as one batch of columns; what is missing is masked."""
        columns: dict[str, np.ndarray] = {}
        for name in self._rows[0]:
            values = [row[name] for row in self._rows]
            missing = [value is None for value in values]
            known = next((v for v in values if v is not None), "")
            filled = [known if gone else v for v, gone in zip(values, missing, strict=True)]
            columns[name] = np.ma.array(filled, mask=missing)
        yield columns

    def slices(self) -> Iterator[TimeSlice]:
        """Yield two slices, the second one cut short; none of a failed run."""
        for index in range(0 if self.failed else 2):
            start_ns = _START_NS + index * 100_000_000
            yield TimeSlice(
                index=index,
                start_ns=start_ns,
                end_ns=start_ns + (100_000_000, 30_000_000)[index],
                is_complete=not index,
                metrics=self.summary.metrics,
            )

    def write_records(self, path: str, format: str) -> None:
        """Write the rows as `jsonl`, `csv` or `parquet`, by rename."""
        target = Path(path)
        part = target.with_name(target.name + ".part")
        if format == "jsonl":
            part.write_text("".join(json.dumps(row) + "\n" for row in self._rows))
        elif format == "csv":
            with part.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(self._rows[0]))
                writer.writeheader()
                writer.writerows(self._rows)
        else:
            self._write_parquet(part)
        part.replace(target)

    def _write_parquet(self, path: Path) -> None:
        import duckdb

        source = path.with_suffix(".source")
        source.write_text(json.dumps(self._rows))
        read = duckdb.read_json(str(source))
        read.write_parquet(str(path))
        source.unlink()
