"""What a run comes to: metrics, verdict, errors."""

from typing import Any

import msgspec

SUMMARY_SCHEMA = "1.0"

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One metric's numbers; None where there is no value.

    Attributes:
        tag: snake-case name in files.
        header: name in tables.
        unit: of all numbers but `count`.
        count: how many samples.
        error_bar: half-width, in `unit`, of what the instrument itself may be wrong by; None when
            it was not measured.
        error_bar_source: `stamps` when only the run's own stamps bound it; `calibration` when it is
            the host's calibrated error at this load, plus what that bound has beyond it; `+clock`
            when the offset of another machine's clock is in it.
        provenance: where the samples come from, such as `server usage 100 %`.
        flags: `MetricFlags`, for consoles to filter by; not exported.
        group: the console table it belongs to.
        adjusts: the tag of the metric that this one repeats with failures as +inf; not exported.
    """

    tag: str
    header: str
    unit: str
    avg: float | None = None
    min: float | None = None
    max: float | None = None
    std: float | None = None
    p1: float | None = None
    p5: float | None = None
    p10: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    count: int = 0
    error_bar: float | None = None
    error_bar_source: str = ""
    provenance: str = ""
    flags: int = 0
    group: str = ""
    larger_is_better: bool = False
    adjusts: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is not VALID: a fixed code, the status it asks for, and a sentence with numbers."""

    code: str
    status: str
    message: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to believe the run: VALID, SUSPECT or INVALID, with causes, the worst first."""

    status: str = "VALID"
    causes: tuple[Cause, ...] = ()


class ErrorCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one kind of failure happened, with the first message seen."""

    kind: str
    count: int
    status: int | None = None
    example: str = ""


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """When and where a run happened, and how it ended.

    Attributes:
        status: `completed`, `cancelled` or `interrupted` (the journal just ends).
        wall_offset_ns: add to a record's CLOCK_MONOTONIC time to get Unix time.
        notes: what else a reader should know, such as a plugin's metric that failed.
        clock_step_records: requests in flight when the wall clock was set; see `clock_steps`.
        calibration: when the host was calibrated (`made_wall_ns`), empty when it was not.
    """

    run_id: str
    status: str
    steelyard_version: str
    started_wall_ns: int
    ended_wall_ns: int
    duration_s: float
    wall_offset_ns: int
    host: dict[str, Any]
    artifact_dir: str
    lost_services: tuple[str, ...] = ()
    journal: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    clock_step_records: int = 0
    calibration: dict[str, Any] = {}


class WorkerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that joined from some machine; None where nothing is known.

    Attributes:
        clock: `same` as the controller's by definition, or `measured`.
        clock_offset_ns: added to its times to get the controller's, in the last phase.
        clock_offset_bound_us: those times are off by at most this, over the whole run.
        clock_drift_ppm, clock_drift_bound_ppm: by how much its clock ran away, and how sure it is.
        clock_exchanges, clock_jumps: how often clocks were compared, and parted too fast.
        start_skew_ms: how late its first request was sent, in the phase where it was latest.
    """

    worker: int
    service_id: str
    requests: int
    clock: str
    clock_offset_ns: int | None = None
    clock_offset_bound_us: float | None = None
    clock_drift_ppm: float | None = None
    clock_drift_bound_ppm: float | None = None
    clock_exchanges: int = 0
    clock_jumps: int = 0
    start_skew_ms: float | None = None
    lost: bool = False


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A machine with workers of the run; bound and skew are the worst of its workers."""

    host: str
    host_id: str
    requests: int
    clock_offset_bound_us: float | None
    start_skew_ms: float | None
    workers: tuple[WorkerRow, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run; `profile_export.json` is this, written out.

    `hosts` is empty when all workers were forked on the controller's own machine.
    """

    schema_version: str
    verdict: Verdict
    metrics: dict[str, MetricSummary]
    config: dict[str, Any]
    run: RunFacts
    errors: tuple[ErrorCount, ...] = ()
    phases: tuple[dict[str, Any], ...] = ()
    hosts: tuple[HostRow, ...] = ()
