"""Two hooks on a benchmark's phases: one writes a log for people, one writes JSON for programs.

A hook runs beside the load it watches, on the same event loop. Files are therefore written in a
thread, one write at a time: the loop is never held up, and the lines keep the order of the events.
"""

import asyncio
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from steelyard.dialects.aiperf.timing.phase_lifecycle_hooks import BasePhaseLifecycleHook

__all__ = [
    "BasePhaseLifecycleHook",
    "ExampleLoggingHook",
    "ExampleMetricsCollectorHook",
    "PhaseEvent",
]

logger = logging.getLogger(__name__)

NS_PER_S = 1e9


class PhaseEvent(Struct, frozen=True):
    """One event of one phase, with the counts and durations as they stood.

    Durations are seconds, None until they are known. `timestamp` is Unix time in seconds.
    """

    event: str
    phase: str
    timestamp: float
    sent: int
    completed: int
    cancelled: int
    in_flight: int
    sessions: int
    sending_duration_s: float | None
    total_duration_s: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain data, fields in the order above."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


def phase_label(phase: Any) -> str:
    """Return the phase's name in capitals; `phase` is a `CreditPhase` or a name of the user's."""
    return str(getattr(phase, "value", phase)).upper()


def seconds_between(begin_ns: int | None, end_ns: int | None) -> float | None:
    """Return the seconds from one time to the other, None when either has not come yet."""
    if begin_ns is None or end_ns is None:
        return None
    return (end_ns - begin_ns) / NS_PER_S


def shown(seconds: float | None) -> str:
    """Return a duration for the log, such as `5.2s`."""
    return "n/a" if seconds is None else f"{seconds:.1f}s"


class ExampleLoggingHook(BasePhaseLifecycleHook):
    """Appends a line per phase event to a text file.

    Args:
        log_file: where the lines go; missing directories are made.
        verbose: send each line to the `logging` system too, at INFO.
    """

    def __init__(self, log_file: str = "phases.log", *, verbose: bool = False) -> None:
        self.log_file = Path(log_file)
        self.verbose = verbose
        self._one_at_a_time = asyncio.Lock()

    async def on_phase_start(self, phase: Any, tracker: Any) -> None:
        """The phase begins: log its name."""
        await self._log("PHASE_START", phase)

    async def on_phase_sending_complete(self, phase: Any, tracker: Any) -> None:
        """Every request was sent: log how many, in how many sessions and how long it took."""
        stats = tracker.create_stats()
        took = shown(seconds_between(stats.start_ns, stats.sent_end_ns))
        counts = f"Sent: {stats.sent}, Sessions: {stats.sessions}, Duration: {took}"
        await self._log("PHASE_SENDING_COMPLETE", phase, counts)

    async def on_phase_complete(self, phase: Any, tracker: Any) -> None:
        """Every answer came back: log how many, and how long the phase took in all."""
        stats = tracker.create_stats()
        took = shown(seconds_between(stats.start_ns, stats.end_ns))
        counts = f"Completed: {stats.completed}, Cancelled: {stats.cancelled}"
        await self._log("PHASE_COMPLETE", phase, f"{counts}, Total Duration: {took}")

    async def on_phase_timeout(self, phase: Any, tracker: Any) -> None:
        """Time ran out: log what was answered and what was still under way."""
        stats = tracker.create_stats()
        counts = f"Completed: {stats.completed}, In Flight: {stats.in_flight}"
        await self._log("PHASE_TIMEOUT", phase, counts)

    async def _log(self, event: str, phase: Any, counts: str = "") -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        line = f"[{stamp}] {event}: {phase_label(phase)}"
        if counts:
            line = f"{line} | {counts}"
        # asyncio.Lock is first come, first served: the lines stay in the order of the events.
        async with self._one_at_a_time:
            await asyncio.to_thread(self._append, line)
        if self.verbose:
            logger.info("%s", line)

    def _append(self, line: str) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class ExampleMetricsCollectorHook(BasePhaseLifecycleHook):
    """Keeps every phase event with its counts, and writes them as JSON when a phase ends.

    Args:
        metrics_file: where the JSON goes; it is replaced as a whole, a reader never sees half.
        aggregate: add `get_aggregated_metrics()` to the file under `aggregated`.
    """

    def __init__(self, metrics_file: str = "phase_metrics.json", *, aggregate: bool = True) -> None:
        self.metrics_file = Path(metrics_file)
        self.aggregate = aggregate
        self.events: list[PhaseEvent] = []
        self._one_at_a_time = asyncio.Lock()

    async def on_phase_start(self, phase: Any, tracker: Any) -> None:
        """The phase begins: keep the event."""
        self._keep("phase_start", phase, tracker)

    async def on_phase_sending_complete(self, phase: Any, tracker: Any) -> None:
        """Every request was sent: keep the event."""
        self._keep("phase_sending_complete", phase, tracker)

    async def on_phase_complete(self, phase: Any, tracker: Any) -> None:
        """Every answer came back: keep the event and write the file."""
        self._keep("phase_complete", phase, tracker)
        await self._write_metrics()

    async def on_phase_timeout(self, phase: Any, tracker: Any) -> None:
        """Time ran out: keep the event and write the file."""
        self._keep("phase_timeout", phase, tracker)
        await self._write_metrics()

    def get_aggregated_metrics(self) -> dict[str, Any]:
        """Return what the events come to, by phase; durations in seconds, counts as last seen."""
        result: dict[str, Any] = {
            "event_count": len(self.events),
            "phase_durations": {},
            "sending_durations": {},
            "requests": {},
        }
        for event in self.events:
            if event.total_duration_s is not None:
                result["phase_durations"][event.phase] = event.total_duration_s
            if event.sending_duration_s is not None:
                result["sending_durations"][event.phase] = event.sending_duration_s
            result["requests"][event.phase] = {
                "sent": event.sent,
                "completed": event.completed,
                "cancelled": event.cancelled,
                "in_flight": event.in_flight,
                "sessions": event.sessions,
            }
        return result

    def _keep(self, name: str, phase: Any, tracker: Any) -> None:
        stats = tracker.create_stats()
        event = PhaseEvent(
            event=name,
            phase=phase_label(phase),
            timestamp=time.time(),
            sent=stats.sent,
            completed=stats.completed,
            cancelled=stats.cancelled,
            in_flight=stats.in_flight,
            sessions=stats.sessions,
            sending_duration_s=seconds_between(stats.start_ns, stats.sent_end_ns),
            total_duration_s=seconds_between(stats.start_ns, stats.end_ns),
        )
        self.events.append(event)

    async def _write_metrics(self) -> None:
        document: dict[str, Any] = {"events": [event.as_dict() for event in self.events]}
        if self.aggregate:
            document["aggregated"] = self.get_aggregated_metrics()
        async with self._one_at_a_time:
            await asyncio.to_thread(self._replace_file, json.dumps(document, indent=2))

    def _replace_file(self, text: str) -> None:
        self.metrics_file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.metrics_file.with_name(f"{self.metrics_file.name}.{os.getpid()}.tmp")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(self.metrics_file)
