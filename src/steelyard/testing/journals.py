"""Journals of runs that never were, with truth known to the nanosecond.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> rows = [answered(i, start_ms=10 * i, ttft_ms=20, itl_ms=5, tokens=4) for i in range(3)]
>>> with TemporaryDirectory() as folder:
...     write_journal(Path(folder), fake_plan(folder), [record_batch(rows)]).name
'journal'
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.calibration import Calibration
from steelyard.domain.bench.messages import PhaseStats, RecordBatch, WorkerFacts
from steelyard.domain.bench.metrics import gaps_per_row
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.records import (
    MISSING,
    ErrorKind,
    StampSource,
    TokenProvenance,
    empty_batch,
)
from steelyard.domain.bench.story import RUN_ENDED, RUN_STARTED, SERVICE_LOST, WORKER_FACTS
from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.journal import JournalWriter, journal_directory

T0_NS = 1_000_000_000_000
"""CLOCK_MONOTONIC at millisecond 0 of every fake run."""

WALL_OFFSET_NS = 1_700_000_000_000_000_000


class SteppingClock:
    """A clock that moves a millisecond each time it is read for CLOCK_MONOTONIC."""

    def __init__(self) -> None:
        self._now_ns = T0_NS

    def mono_ns(self) -> int:
        """Return the next millisecond."""
        self._now_ns += NS_PER_MS
        return self._now_ns

    def wall_ns(self) -> int:
        """Return the wall time of the last millisecond returned."""
        return self._now_ns + WALL_OFFSET_NS


def _at(milliseconds: float) -> int:
    return T0_NS + round(milliseconds * NS_PER_MS)


def _row(index: int, start_ms: float, lag_ms: float) -> np.ndarray:
    row = empty_batch(1)
    row["schedule_index"] = row["session"] = row["conversation"] = index
    for name in ("attempt", "worker_id", "phase", "turn", "endpoint_url"):
        row[name] = 0
    row["intended_ns"] = _at(start_ms - lag_ms)
    row["start_ns"] = row["sent_ns"] = _at(start_ms)
    return row


def answered(
    index: int,
    *,
    start_ms: float,
    ttft_ms: float,
    itl_ms: float = 0.0,
    tokens: int = 1,
    lag_ms: float = 0.0,
    **columns: Any,
) -> np.ndarray:
    """Return the row of a streamed answer: `tokens` chunks of a token, `itl_ms` apart, 10 in.

    It ends with its last chunk. `columns` replaces any column of `RECORD_DTYPE`; times in them are
    nanoseconds.
    """
    row = _row(index, start_ms, lag_ms)
    first_ms = start_ms + ttft_ms
    for name in ("first_byte_ns", "first_token_ns", "first_output_ns"):
        row[name] = _at(first_ms)
    if tokens > 1:
        row["second_token_ns"] = _at(first_ms + itl_ms)
    row["last_token_ns"] = row["end_ns"] = _at(first_ms + itl_ms * (tokens - 1))
    row["stamp_lower_ns"] = row["start_ns"]
    row["stamp_source"] = StampSource.KERNEL
    row["coalesced_events"] = 0
    row["chunks"] = row["output_tokens"] = tokens
    row["first_chunk_tokens"] = 1
    row["input_tokens"] = 10
    row["token_provenance"] = TokenProvenance.SERVER_USAGE
    row["status"] = 200
    return _replaced(row, columns)


def refused(
    index: int,
    *,
    start_ms: float,
    after_ms: float = 1.0,
    kind: ErrorKind = ErrorKind.HTTP_STATUS,
    status: int = 500,
    **columns: Any,
) -> np.ndarray:
    """Return the row of a request that failed `after_ms` after it was sent."""
    row = _row(index, start_ms, 0.0)
    row["end_ns"] = _at(start_ms + after_ms)
    row["error_kind"] = kind
    row["cancelled"] = kind == ErrorKind.CANCELLED
    row["status"] = status
    return _replaced(row, columns)


def _replaced(row: np.ndarray, columns: Mapping[str, Any]) -> np.ndarray:
    for name, value in columns.items():
        row[name] = value
    return row


def record_batch(
    rows: Sequence[np.ndarray],
    *,
    worker: int = 0,
    batch_seq: int = 0,
    messages: Mapping[int, str] | None = None,
) -> RecordBatch:
    """Return rows as a worker sends them; the gaps of a row are all its mean gap."""
    batch = np.concatenate(rows)
    per_row = gaps_per_row(batch)
    spans = np.where(batch["chunks"] > 1, batch["last_token_ns"] - batch["first_token_ns"], 0)
    gaps = np.repeat(spans // np.maximum(per_row, 1), per_row)
    return RecordBatch(
        worker=worker,
        epoch=1,
        batch_seq=batch_seq,
        rows=batch.size,
        data=batch.tobytes(),
        messages=dict(messages or {}),
        gaps=gaps.astype(np.int64).tobytes(),
    )


def fake_plan(directory: str | Path, **changes: Any) -> Plan:
    """Return the plan of a small closed-loop run; `changes` replaces fields of `Plan`."""
    fields: dict[str, Any] = {
        "run_id": "20261122-045412-9f3a1c",
        "models": ("fake-model",),
        "endpoint": EndpointPlan(streaming=True),
        "phases": (PhasePlan(name="profiling", concurrency=2, request_count=10),),
        "artifact_dir": str(directory),
    }
    return Plan(**(fields | changes))


def worker_facts(
    worker: int = 0, *, cpu_s: float = 0.1, span_s: float = 1.0, clock_steps: int = 0
) -> WorkerFacts:
    """Return what a worker says of itself over `span_s` seconds."""
    return WorkerFacts(
        worker=worker,
        mono_ns=T0_NS,
        wall_offset_ns=WALL_OFFSET_NS,
        cpu_s=cpu_s,
        span_s=span_s,
        send_lag_p99_ns=0,
        send_lag_max_ns=0,
        clock_steps=clock_steps,
    )


def write_journal(
    directory: Path,
    plan: Plan,
    batches: Iterable[RecordBatch],
    *,
    status: str | None = "completed",
    facts: Iterable[WorkerFacts] = (),
    phases: Iterable[tuple[str, PhaseStats]] = (),
    lost: Iterable[tuple[str, str]] = (),
    calibration: Calibration | str | None = None,
) -> Path:
    """Write a run's journal below the artifact directory and return where it lies.

    Args:
        directory: the artifact directory.
        plan: goes into the event that starts the run.
        batches: appended in order, each as it comes: memory stays flat.
        status: how the run ends; None leaves it open, as a crash does.
        facts: of workers.
        phases: `(event, stats)`, such as `("timeout", PhaseStats(...))`.
        lost: services that died, as `(service id, service type)`.
        calibration: the host's, or why it could not be read.
    """
    journal = journal_directory(directory)
    clock = SteppingClock()
    options: dict[str, Any] = {"run_id": plan.run_id, "clock": clock, "fsync": "never"}
    with (
        JournalWriter(journal, "controller", **options) as controller,
        JournalWriter(journal, "records", **options) as records,
    ):
        started = {
            "plan": msgspec.to_builtins(plan),
            "host": {},
            "steelyard_version": "0",
            "calibration": msgspec.to_builtins(calibration),
        }
        controller.event(RUN_STARTED, started)
        for what, stats in phases:
            controller.event(f"bench.phase.{what}", {"stats": msgspec.to_builtins(stats)})
        for service_id, service_type in lost:
            payload = {"service_id": service_id, "service_type": service_type}
            controller.event(SERVICE_LOST, payload)
        for batch in batches:
            records.records(batch)
        for fact in facts:
            records.event(WORKER_FACTS, msgspec.to_builtins(fact))
        if status is not None:
            controller.event(RUN_ENDED, {"status": status})
    return journal


__all__ = [
    "MISSING",
    "T0_NS",
    "SteppingClock",
    "answered",
    "fake_plan",
    "record_batch",
    "refused",
    "worker_facts",
    "write_journal",
]
