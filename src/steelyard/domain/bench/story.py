"""A run's story, folded from its journal events: plan, phases, workers, losses, the end."""

from typing import Any

import msgspec

from steelyard.domain.bench.calibration import Calibration
from steelyard.domain.bench.clock_offset import ClockFacts
from steelyard.domain.bench.messages import WorkerSketch
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.sketch import Sketch
from steelyard.kernel.events import Event

RUN_STARTED = "bench.run.started"
RUN_ENDED = "bench.run.ended"
SERVICE_LOST = "bench.service.lost"
PLUGIN_FAILED = "bench.plugin.failed"
WORKER_JOINED = "bench.worker.joined"
WORKER_SKETCH = "bench.worker.sketch"
WORKER_FACTS = "bench.worker.facts"
PHASE_PREFIX = "bench.phase."

INTERRUPTED = "interrupted"
CANCELLED = "cancelled"
COMPLETED = "completed"


class WorkerLoad(msgspec.Struct):
    """What one worker said of itself over the run.

    Attributes:
        cpu_s, span_s: CPU seconds used within seconds observed, added up.
        wait_s: seconds of those in which it was ready to run and had no core.
        busiest: the largest share of one core in any one report.
        clock_steps: how often the wall clock was set, as last reported.
        step_spans: between which times (CLOCK_MONOTONIC ns) that was, each as wide as two reports
            are apart, and by as much wider as the clock went back: so far back its stamps may lie.
        reported_ns, wall_offset_ns: of the last report; None before it.
        clock: of a worker on another machine, as last told; its bound was at most `clock_bound_ns`.
    """

    cpu_s: float = 0.0
    wait_s: float = 0.0
    span_s: float = 0.0
    busiest: float = 0.0
    send_lag_max_ns: int = 0
    clock_steps: int = 0
    step_spans: list[tuple[int, int]] = []
    reported_ns: int = 0
    wall_offset_ns: int | None = None
    clock: ClockFacts | None = None
    clock_bound_ns: int = 0

    @property
    def share(self) -> float:
        """The share of one core used over the run, 1 being all of it."""
        return self.cpu_s / self.span_s if self.span_s > 0 else 0.0

    @property
    def wait_share(self) -> float:
        """The share of the run in which it was kept from a core by others."""
        return self.wait_s / self.span_s if self.span_s > 0 else 0.0


class Story:
    """Folds events in order; what never happened stays None or empty.

    Attributes:
        plan: from the event that started the run.
        status: `completed`, `cancelled`, ... as the run's last event says, else `interrupted`.
        reason: why it ended early, where that event says it.
        phases: each phase's last known stats, by phase index, with how it ended.
        lost: services that died, as `(service id, service type)`.
        lost_reasons: why, by service id, where it is known.
        lost_hosts: on which machine, by service id, where that was another one.
        joined: workers that joined from other machines: service id and machine, by number.
        sketches: what those counted themselves, by number, where they could tell: how many
            records, and the sketch of their latencies.
        plugin_failures: what plugins of the controller's process failed at, by plugin.
        calibration: the host's when the run began, None without one.
        calibration_problem: why the host's calibration could not be read.
    """

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.plan_data: dict[str, Any] = {}
        self.run_id = ""
        self.host: dict[str, Any] = {}
        self.host_id = ""
        self.steelyard_version = ""
        self.started_wall_ns = 0
        self.last_wall_ns = 0
        self.wall_offset_ns = 0
        self.status = INTERRUPTED
        self.reason = ""
        self.phases: dict[int, dict[str, Any]] = {}
        self.lost: list[tuple[str, str]] = []
        self.lost_reasons: dict[str, str] = {}
        self.lost_hosts: dict[str, str] = {}
        self.joined: dict[int, dict[str, Any]] = {}
        self.sketches: dict[int, tuple[int, Sketch]] = {}
        self.plugin_failures: dict[str, dict[str, Any]] = {}
        self.workers: dict[int, WorkerLoad] = {}
        self.calibration: Calibration | None = None
        self.calibration_problem = ""

    def timed_out(self) -> list[int]:
        """Return the indices of phases whose grace ended with requests in flight.

        When a person stopped the run, the phase under way ended by that and not by its grace.
        """
        under_way = max(self.phases, default=None) if self.status == CANCELLED else None
        return [i for i, p in sorted(self.phases.items()) if p["timed_out"] and i != under_way]

    def fold(self, event: Event) -> None:
        """Take in one event; types that are not ours to know are passed over."""
        self.last_wall_ns = max(self.last_wall_ns, event.wall_ns)
        if event.type == RUN_STARTED:
            self._start(event)
        elif event.type == RUN_ENDED:
            self.status = str(event.payload.get("status", "completed"))
            self.reason = str(event.payload.get("reason", ""))
        elif event.type == SERVICE_LOST:
            self._lose(event.payload)
        elif event.type == PLUGIN_FAILED:
            self.plugin_failures[str(event.payload.get("plugin", "?"))] = event.payload
        elif event.type == WORKER_JOINED:
            self.joined[int(event.payload["worker"])] = event.payload
        elif event.type == WORKER_SKETCH:
            told = msgspec.convert(event.payload, WorkerSketch)
            self.sketches[told.worker] = told.rows, Sketch.decode(told.sketch)
        elif event.type == WORKER_FACTS:
            self._load(event.payload)
        elif event.type.startswith(PHASE_PREFIX):
            self._phase(event.type.removeprefix(PHASE_PREFIX), event.payload)

    def _start(self, event: Event) -> None:
        payload = event.payload
        self.run_id = event.run_id
        self.host_id = event.host_id
        self.started_wall_ns = event.wall_ns
        self.wall_offset_ns = event.wall_ns - event.mono_ns
        self.plan_data = payload["plan"]
        self.plan = msgspec.convert(self.plan_data, Plan)
        self.host = payload.get("host", {})
        self.steelyard_version = str(payload.get("steelyard_version", ""))
        calibration = payload.get("calibration")
        if isinstance(calibration, str):
            self.calibration_problem = calibration
        elif calibration is not None:
            self.calibration = msgspec.convert(calibration, Calibration)

    def _lose(self, payload: dict[str, Any]) -> None:
        lost = (str(payload.get("service_id", "?")), str(payload.get("service_type", "?")))
        if lost not in self.lost:
            self.lost.append(lost)
        if payload.get("reason"):
            self.lost_reasons.setdefault(lost[0], str(payload["reason"]))
        if payload.get("host"):
            self.lost_hosts[lost[0]] = str(payload["host"])

    def _load(self, payload: dict[str, Any]) -> None:
        worker = self.workers.setdefault(int(payload["worker"]), WorkerLoad())
        cpu_s, span_s = float(payload["cpu_s"]), float(payload["span_s"])
        worker.cpu_s += cpu_s
        worker.wait_s += float(payload.get("wait_s", 0.0))  # absent from older journals
        worker.span_s += span_s
        if span_s > 0:
            worker.busiest = max(worker.busiest, cpu_s / span_s)
        worker.send_lag_max_ns = max(worker.send_lag_max_ns, int(payload["send_lag_max_ns"]))
        if payload.get("clock"):
            worker.clock = msgspec.convert(payload["clock"], ClockFacts)
            worker.clock_bound_ns = max(worker.clock_bound_ns, worker.clock.bound_ns)
        self._step(worker, payload)

    def _step(self, worker: WorkerLoad, payload: dict[str, Any]) -> None:
        """Note between which reports the wall clock was set."""
        now_ns, offset_ns = int(payload["mono_ns"]), int(payload["wall_offset_ns"])
        steps = int(payload["clock_steps"])
        if steps > worker.clock_steps:
            known_ns = worker.wall_offset_ns
            back_ns = max((self.wall_offset_ns if known_ns is None else known_ns) - offset_ns, 0)
            worker.step_spans.append((worker.reported_ns - back_ns, now_ns))
        worker.clock_steps = max(worker.clock_steps, steps)
        worker.reported_ns, worker.wall_offset_ns = now_ns, offset_ns

    def step_spans(self) -> dict[int, list[tuple[int, int]]]:
        """Return, by worker, between which times (CLOCK_MONOTONIC ns) the wall clock was set."""
        return {number: load.step_spans for number, load in self.workers.items()}

    def _phase(self, what: str, payload: dict[str, Any]) -> None:
        stats = payload.get("stats", payload)
        index = stats.get("phase_index")
        if not isinstance(index, int):
            return
        known = self.phases.setdefault(index, {"timed_out": False})
        known.update(stats)
        if what == "timeout":
            known["timed_out"] = True
            known["given_up"] = known.get("cancelled", 0)
