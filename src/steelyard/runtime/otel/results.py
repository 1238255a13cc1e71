"""Dispatches streamed results to strategies, and their telemetry to the process that exports it."""

import contextlib
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.streaming import (
    MetricRecordsData,
    ResultData,
    ResultStrategy,
    StrategyContext,
)
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fanout import BoundedQueue, EventPipe, Fanout, buffered_max
from steelyard.runtime.otel.exporting import (
    COUNTER_ADD,
    FLUSH,
    HISTOGRAM_RECORD,
    SHUTDOWN,
    UP_DOWN_COUNTER_ADD,
    ExportSettings,
)
from steelyard.runtime.otel.metric_results import MetricResultsStrategy
from steelyard.runtime.otel.timing_results import TimingResultsStrategy
from steelyard.runtime.pipe_frames import frame_of
from steelyard.runtime.plugin_border import PluginBorder

PREFIX = "steelyard."
STOP_S = 10.0
_STEP_S = 0.05
STRATEGIES: tuple[Callable[[StrategyContext], ResultStrategy], ...] = (
    MetricResultsStrategy,
    TimingResultsStrategy,
)
_PROGRAM = "from steelyard.runtime.otel.exporting import serve; serve()"
_log = logging.getLogger("steelyard.otel")


@dataclass(frozen=True)
class _Instrument:
    """An instrument that only makes events."""

    kind: str
    metric_name: str
    unit: str
    description: str
    emit: Callable[[str, dict[str, Any]], object]
    boundaries: tuple[float, ...] | None = None

    def add(self, value: float, attributes: dict[str, Any]) -> None:
        """Add to a sum."""
        payload: dict[str, Any] = {
            "metric_name": self.metric_name, "unit": self.unit, "description": self.description,
            "value": float(value), "attributes": attributes,
        }  # fmt: skip
        if self.boundaries is not None:
            payload["explicit_bucket_boundaries"] = list(self.boundaries)
        self.emit(self.kind, payload)

    record = add


class EventQueue:
    """Events for the exporting process: a `BoundedQueue` of mappings over an `EventPipe`."""

    def __init__(self, pipe: EventPipe) -> None:
        self._pipe = pipe

    def put_nowait(self, event: Any, /) -> None:
        """Append an event, or raise `queue.Full`."""
        self._pipe.put_nowait(frame_of(event))

    def get_nowait(self) -> Any:
        """Take the oldest event out, or raise `queue.Empty`."""
        return self._pipe.get_nowait()


class OtelResults:
    """The context of strategies, and what hands results to them.

    Everything is best effort: a strategy that raises is logged and counted, events beyond the
    queue's bound push the oldest out, and a collector that is gone is the other process's trouble.

    Args:
        settings: where telemetry goes.
        strategies: makers of strategies, each called with this context.
        queue: where events go instead of to a process of our own.
        units: of metrics, by tag.
        environ: bounds the queue; see `buffered_max`.
    """

    def __init__(
        self,
        settings: ExportSettings,
        strategies: Sequence[Callable[[StrategyContext], ResultStrategy]] = STRATEGIES,
        *,
        queue: BoundedQueue | None = None,
        units: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.failures = PluginBorder()
        self._settings = settings
        self._units = dict(units or {})
        self._environ = environ
        self._strategies = [make(self) for make in strategies]
        self._instruments: dict[tuple[str, str], _Instrument] = {}
        self._totals: dict[tuple[str, str], int] = {}
        self._levels: dict[tuple[str, str], float] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: EventPipe | None = None
        self.fanout = Fanout(queue, _log.warning) if queue is not None else self._start()

    def _start(self) -> Fanout:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  asked for above
        self._pipe = EventPipe(self._process.stdin.fileno(), buffered_max(self._environ))
        self._pipe.put_nowait(frame_of(self._settings))
        return Fanout(EventQueue(self._pipe), _log.warning)

    # Results

    async def process_result(self, record_data: ResultData) -> None:
        """Hand a result to each strategy that supports it."""
        for strategy in self._strategies:
            try:
                with self.failures.crossing(type(strategy).__name__, "process a result"):
                    if strategy.supports(record_data):
                        await strategy.process(record_data)
            except SteelyardError as error:
                _log.warning("%s", error)

    def emit(self, event_type: str, payload: dict[str, Any]) -> bool:
        """Queue an event; return False when it was dropped."""
        return self.fanout.put({"type": event_type, "payload": payload})

    def flush(self) -> None:
        """Have everything so far exported soon; does not wait."""
        self.emit(FLUSH, {})

    def close(self, within_s: float = STOP_S) -> bool:
        """Have the rest exported and the process end; return False when it was killed for time."""
        self.emit(SHUTDOWN, {})
        process, self._process = self._process, None
        if self.fanout.dropped:
            _log.warning("dropped %d telemetry events for want of room", self.fanout.dropped)
        if process is None or self._pipe is None:
            return True
        deadline = time.monotonic() + within_s
        is_over = process.poll() is not None
        while not is_over and time.monotonic() < deadline:
            self._pipe.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STEP_S)
                is_over = True
        if not is_over:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        return is_over

    # The context

    async def get_or_create_histogram(
        self,
        metric_name: str,
        *,
        unit: str | None = None,
        description: str | None = None,
        explicit_bucket_boundaries: tuple[float, ...] | None = None,
    ) -> _Instrument:
        """Return the histogram; a tag without a unit gets its metric's, and our prefix."""
        name = metric_name if unit else PREFIX + metric_name
        known = unit or self._units.get(metric_name, "1")
        text = description or f"Metric of requests: {metric_name}"
        return self._get(HISTOGRAM_RECORD, name, known, text, explicit_bucket_boundaries)

    async def get_or_create_counter(
        self, metric_name: str, unit: str, description: str
    ) -> _Instrument:
        """Return the counter."""
        return self._get(COUNTER_ADD, metric_name, unit, description)

    async def get_or_create_up_down_counter(
        self, metric_name: str, unit: str, description: str
    ) -> _Instrument:
        """Return the counter that may fall."""
        return self._get(UP_DOWN_COUNTER_ADD, metric_name, unit, description)

    def _get(
        self,
        kind: str,
        name: str,
        unit: str,
        description: str,
        boundaries: tuple[float, ...] | None = None,
    ) -> _Instrument:
        key = kind, name
        if key not in self._instruments:
            made = _Instrument(kind, name, unit, description, self.emit, boundaries)
            self._instruments[key] = made
        return self._instruments[key]

    def build_record_attributes(self, record: MetricRecordsData) -> dict[str, Any]:
        """Return phase, worker, and whether the request failed or was cancelled."""
        return {
            "steelyard.phase": record.metadata.benchmark_phase,
            "steelyard.worker.id": record.metadata.worker_id,
            "steelyard.was_cancelled": record.metadata.was_cancelled,
            "steelyard.has_error": record.error is not None,
        }

    def build_timing_attributes(self, stats: PhaseStats) -> dict[str, Any]:
        """Return the phase."""
        return {"steelyard.phase": stats.phase}

    def coerce_metric_values(self, metric_name: str, metric_value: Any) -> list[float]:
        """Return the finite numbers in a value; booleans are none."""
        found = metric_value if isinstance(metric_value, list | tuple) else [metric_value]
        numbers = [float(v) for v in found if isinstance(v, int | float) and type(v) is not bool]
        return [number for number in numbers if math.isfinite(number)]

    def calculate_timing_counter_delta(
        self, *, metric_name: str, phase: str, current_value: int
    ) -> int:
        """Return the growth; a total that fell begins anew and adds nothing."""
        before = self._totals.get((phase, metric_name), 0)
        self._totals[phase, metric_name] = current_value
        return max(0, current_value - before)

    def calculate_timing_gauge_delta(
        self, *, metric_name: str, phase: str, current_value: float
    ) -> float:
        """Return the move."""
        before = self._levels.get((phase, metric_name), 0.0)
        self._levels[phase, metric_name] = current_value
        return current_value - before
