"""What the roles of a benchmark say to each other. None of these is sent per request."""

from typing import Any

import msgspec

from steelyard.domain.bench.clock_offset import ClockFacts
from steelyard.kernel.errors import EXIT_USAGE


class ConfigureRun(msgspec.Struct, frozen=True):
    """Controller to every role, as a command: the whole plan, as `msgspec` plain data."""

    plan: dict[str, Any]


class DatasetProgress(msgspec.Struct, frozen=True):
    """Dataset manager to all: entries 0..`ready` of the store at `path` may be read.

    `entries` is how many there will be, -1 while only reading on can tell; sampling other than
    sequential needs it. `error` says why there won't be any more, and `exit_code` what the run
    ends with then.
    """

    path: str
    ready: int
    complete: bool
    error: str = ""
    entries: int = -1
    exit_code: int = EXIT_USAGE


class WorkerReady(msgspec.Struct, frozen=True):
    """Worker to the worker manager: configured, connections open."""

    worker: int


class WorkersReady(msgspec.Struct, frozen=True):
    """Worker manager to the timing manager: who can take leases, service ids by worker number."""

    workers: dict[int, str]


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to send schedule indices `range(index_from, index_to, stride)` of a phase.

    `expires_ns` (CLOCK_MONOTONIC) bounds how long unsent indices stay with this worker.
    """

    lease_id: int
    epoch: int
    phase: int
    index_from: int
    index_to: int
    stride: int
    expires_ns: int


class BeginPhase(msgspec.Struct, frozen=True, kw_only=True):
    """Timing manager to a worker: a phase begins at `start_ns`; these are its quotas.

    `concurrency` counts sessions: a conversation keeps its slot between its turns.
    `turn_requests` bounds the requests of conversations with several turns, None where only
    indices count. `rank` of `size` is this worker's place: of the slots of a limit, numbered in the
    order in which a ramp opens them, it has `rank`, `rank + size` and so on.
    """

    phase: int
    epoch: int
    start_ns: int
    concurrency: int | None
    prefill_concurrency: int | None
    leases: tuple[Lease, ...]
    turn_requests: int | None = None
    rank: int = 0
    size: int = 1


class GrantLeases(msgspec.Struct, frozen=True):
    """Timing manager to a worker: more indices, and all its leases renewed to `renew_to_ns`."""

    leases: tuple[Lease, ...]
    renew_to_ns: int


class LeaseAck(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to the timing manager: how far each lease is, in one batch.

    Attributes:
        sent_to: lease id to the first index not yet sent, for each open lease.
        last_lease: the highest lease id received; leases up to it that are not in `sent_to` are
            done.
        completed, failed, cancelled, in_flight: totals of the phase on this worker.
        sessions: conversations begun.
        dropped_turns: turns of those that were never sent, as the one before got no answer.
        idle: nothing is left to send or to wait for.
    """

    worker: int
    phase: int
    epoch: int
    sent_to: dict[int, int]
    last_lease: int
    sent: int
    completed: int
    failed: int
    cancelled: int
    in_flight: int
    sessions: int
    idle: bool
    dropped_turns: int = 0


class SetQuota(msgspec.Struct, frozen=True, kw_only=True):
    """Timing manager to a worker: its share of the global limits changed; see `BeginPhase`."""

    phase: int
    concurrency: int | None
    prefill_concurrency: int | None
    rank: int = 0
    size: int = 1


class StopSending(msgspec.Struct, frozen=True, kw_only=True):
    """Timing manager to a worker: send nothing new; cancel what is in flight at `cancel_at_ns`."""

    phase: int
    cancel_at_ns: int | None


class PhaseStats(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase stands; also what `tracker.create_stats()` returns to phase hooks.

    Times are CLOCK_MONOTONIC nanoseconds, None until they happened.
    """

    phase: str
    phase_index: int
    sent: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    in_flight: int = 0
    sessions: int = 0
    dropped_turns: int = 0
    lost: int = 0
    start_ns: int | None = None
    sent_end_ns: int | None = None
    end_ns: int | None = None


class PhaseStarted(msgspec.Struct, frozen=True):
    """Timing manager to all."""

    stats: PhaseStats


class PhaseSendingComplete(msgspec.Struct, frozen=True):
    """Timing manager to all: every index has been sent, or the time to send is over."""

    stats: PhaseStats


class PhaseCompleted(msgspec.Struct, frozen=True):
    """Timing manager to all: nothing is in flight any more."""

    stats: PhaseStats


class PhaseTimeout(msgspec.Struct, frozen=True):
    """Timing manager to all: the grace ended with requests in flight; they were cancelled."""

    stats: PhaseStats


class AllPhasesDone(msgspec.Struct, frozen=True):
    """Timing manager to the controller."""

    cancelled: bool


class RecordBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to the records manager: `rows` records as raw bytes of `RECORD_DTYPE`.

    `(worker, epoch, batch_seq)` identifies a batch; a second copy is dropped. `messages` gives the
    first error text per error kind seen in it; `gaps` the inter-chunk times (ns, int64 bytes) of
    its rows: row by row, `chunks - 1` each, -1 where both chunks came in one read; `chunks` the
    chunk side table (`CHUNK_DTYPE`) from the export level `records` on.
    """

    worker: int
    epoch: int
    batch_seq: int
    rows: int
    data: bytes
    messages: dict[int, str]
    gaps: bytes = b""
    chunks: bytes = b""


class RecordBatchAck(msgspec.Struct, frozen=True):
    """Records manager to a worker: the batch is appended."""

    worker: int
    epoch: int
    batch_seq: int


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to the records manager, a few times a second: what the verdict needs to know.

    Of `span_s` seconds its process used a core for `cpu_s` (without what it spent on being awake
    when a send fell due, which yields to any work), and for `wait_s` its thread was ready to run
    while others had the cores. `clock` is told by a worker on another machine.
    """

    worker: int
    mono_ns: int
    wall_offset_ns: int
    cpu_s: float
    span_s: float
    send_lag_p99_ns: int
    send_lag_max_ns: int
    clock_steps: int
    wait_s: float = 0.0
    clock: ClockFacts | None = None


class WorkerSketch(msgspec.Struct, frozen=True, kw_only=True):
    """A worker on another machine to the records manager, last of all: what it counted itself.

    `sketch` holds the latencies of its `rows` records (`Sketch.encode`): merged with the others' it
    must be that of the journal.
    """

    worker: int
    rows: int
    sketch: bytes


class HandOverRecords(msgspec.Struct, frozen=True):
    """Controller to a worker, as a command: cancel what is in flight, hand over every record."""


class FlushRecords(msgspec.Struct, frozen=True):
    """Controller to the records manager, as a command: append, sync, answer."""


class RecordsFlushed(msgspec.Struct, frozen=True, kw_only=True):
    """Its answer: what the journal now holds durably, and how many second copies were dropped."""

    batches: int
    rows: int
    duplicates: int


class LiveStats(msgspec.Struct, frozen=True, kw_only=True):
    """Records manager to all, about twice a second while records come: how it goes.

    Rates and quantiles are of the last `window_s` seconds of the newest phase that has records,
    from sketches of relative error 0.01; the report has the exact ones. None where nothing was
    measured.

    Attributes:
        phase: index of that phase, -1 before any record.
        records: rows since the run began.
        sessions: conversations of the phase whose first turn has ended.
        later_turns: requests of the phase that were no conversation's first.
        cancelled: requests of the phase that we gave up ourselves.
        errors: those of the phase that failed, by error kind.
        duplicates: batches that came a second time.
        request_rate: answered requests per second.
        output_token_rate: output tokens per second.
        ttft_p50_ms, ttft_p99_ms: send to first content.
        latency_p50_ms, latency_p99_ms: send to end of the response.
    """

    mono_ns: int
    phase: int
    window_s: float
    records: int
    sessions: int
    cancelled: int
    errors: dict[str, int]
    duplicates: int
    request_rate: float
    output_token_rate: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    later_turns: int = 0


class BuildReport(msgspec.Struct, frozen=True):
    """Controller to the post-processor manager, as a command: journal to all outputs."""

    artifact_dir: str


class StopReport(msgspec.Struct, frozen=True):
    """Controller to the post-processor manager: nobody waits for the report any more."""


class ReportProgress(msgspec.Struct, frozen=True):
    """Post-processor manager to the controller: what it does now, in words."""

    doing: str


class ReportBuilt(msgspec.Struct, frozen=True):
    """Its answer: the files written, by exporter; failures by exporter; the summary, plain."""

    files: dict[str, list[str]]
    failures: dict[str, str]
    verdict: str
    summary: dict[str, Any] = {}


class GiveUp(msgspec.Struct, frozen=True):
    """Worker to the controller: no load comes of going on, and why, in words for a person."""

    worker: int
    reason: str


class StopRun(msgspec.Struct, frozen=True):
    """Controller to the timing manager: send nothing new; drain, or drop at once."""

    drain: bool


class ServiceLost(msgspec.Struct, frozen=True):
    """Controller to all, the moment it knows: a role is gone and will not come back."""

    service_id: str
    service_type: str
    index: int
    reason: str
    mono_ns: int
