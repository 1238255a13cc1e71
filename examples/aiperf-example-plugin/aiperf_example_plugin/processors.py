"""Numbers of one's own from a run's records, after the run."""

import asyncio
import math
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from steelyard.domain.bench.processing import ProcessingResult

__all__ = ["ExampleMetricsProcessor", "ExampleResultsAggregator", "ProcessingResult", "ResultTally"]

PERCENTILES = (50, 75, 90, 95, 99)
YIELD_EVERY = 4096
NS_PER_MS = 1e6


def latency_ms(row: Mapping[str, Any]) -> float | None:
    """Return a record's latency: `latency_ms` where it is given, else from its two times."""
    given = row.get("latency_ms")
    if given is None:
        begin, end = row.get("start_ns"), row.get("end_ns")
        given = (end - begin) / NS_PER_MS if begin is not None and end is not None else None
    return float(given) if given is not None and math.isfinite(given) else None


def succeeded(row: Mapping[str, Any]) -> bool:
    """Return whether a record is of a request that was answered well."""
    if "success" in row:
        return bool(row["success"])
    failed = str(row.get("error_kind") or "none").lower() not in ("none", "0")
    return not failed and not row.get("error") and not row.get("cancelled")


def percentile(ordered: "array[float]", percent: float) -> float:
    """Return a percentile of sorted values, linear between the two nearest ranks."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


class ResultTally:
    """Counts records and keeps the latencies of the good ones, eight bytes each."""

    def __init__(self) -> None:
        self.total = 0
        self.successful = 0
        self.latencies_ms = array("d")

    async def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take records one by one, letting the event loop breathe: there may be millions."""
        for row in rows:
            self.total += 1
            if succeeded(row):
                self.successful += 1
                value = latency_ms(row)
                if value is not None:
                    self.latencies_ms.append(value)
            if self.total % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def metrics(self, *, include_percentiles: bool) -> dict[str, Any]:
        """Return the numbers as plain data; rates are fractions, None when nothing was counted."""
        failed = self.total - self.successful
        metrics: dict[str, Any] = {
            "total_requests": self.total,
            "successful_requests": self.successful,
            "failed_requests": failed,
            "success_rate": self.successful / self.total if self.total else None,
            "error_rate": failed / self.total if self.total else None,
        }
        if self.latencies_ms:
            metrics["latency_ms"] = self._latency(include_percentiles=include_percentiles)
        return metrics

    def _latency(self, *, include_percentiles: bool) -> dict[str, float]:
        ordered = array("d", sorted(self.latencies_ms))
        mean = math.fsum(ordered) / len(ordered)
        squares = math.fsum((value - mean) ** 2 for value in ordered)
        result = {
            "min": ordered[0],
            "max": ordered[-1],
            "mean": mean,
            "std": math.sqrt(squares / len(ordered)),
        }
        if include_percentiles:
            result |= {f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES}
        return result


def flat_lines(metrics: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return `name: value` lines, names of nested metrics joined by dots."""
    lines: list[str] = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            lines += flat_lines(value, f"{prefix}{name}.")
        else:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            lines.append(f"{prefix}{name}: {text}")
    return lines


class ExampleMetricsProcessor:
    """Counts, rates and latencies of a run's records.

    Args:
        output_file: also write the numbers there, a line each; None writes nothing.
        include_percentiles: add p50, p75, p90, p95 and p99 of the latency.
    """

    def __init__(self, output_file: str | None = None, *, include_percentiles: bool = True) -> None:
        self.output_file = Path(output_file) if output_file else None
        self.include_percentiles = include_percentiles

    async def process(self, results: Iterable[Mapping[str, Any]]) -> ProcessingResult:
        """Return the metrics of `results`, one mapping per request; latencies in ms."""
        tally = ResultTally()
        await tally.add(results)
        metrics = tally.metrics(include_percentiles=self.include_percentiles)
        if self.output_file is not None:
            await asyncio.to_thread(self._write, self.output_file, flat_lines(metrics))
        return ProcessingResult(success=True, record_count=tally.total, metrics=metrics)

    @staticmethod
    def _write(path: Path, lines: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class ExampleResultsAggregator:
    """Puts the results of several phases or runs together."""

    async def aggregate(self, result_sets: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, Any]:
        """Return the metrics of each set, in order, and of all of them as one.

        Percentiles are taken over all records together: those of the parts can't be averaged.
        """
        whole = ResultTally()
        parts: list[dict[str, Any]] = []
        for rows in result_sets:
            part = ResultTally()
            await part.add(rows)
            parts.append(part.metrics(include_percentiles=True))
            whole.total += part.total
            whole.successful += part.successful
            whole.latencies_ms.extend(part.latencies_ms)
        return {
            "set_count": len(parts),
            "sets": parts,
            "overall": whole.metrics(include_percentiles=True),
        }

    async def generate_report(self, summary: Mapping[str, Any]) -> str:
        """Return `summary` as text for people: the whole first, then each set."""
        lines = [f"Results of {summary['set_count']} set(s)", "", "Overall"]
        lines += [f"  {line}" for line in flat_lines(summary["overall"])]
        for number, part in enumerate(summary["sets"], start=1):
            lines += ["", f"Set {number}"]
            lines += [f"  {line}" for line in flat_lines(part)]
        return "\n".join(lines)
