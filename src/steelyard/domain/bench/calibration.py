"""What an instrument knows of its own error on one host: levels of load, each with its errors.

A calibration drives a server whose truth is known. Per request, error is what was reported less
what was true, the loopback's transit included; a level keeps its absolute values' percentiles.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import first_token_stamp_width_ms, request_stamp_width_ms
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.summary import MetricSummary
from steelyard.kernel.units import NS_PER_MS, NS_PER_S

CALIBRATION_SCHEMA = "1.0"

MEASURES = ("ttft", "gap", "itl", "latency")
"""First token; first gap between chunks; mean gap; from the first send to the last content."""

MEASURE_OF = {
    "time_to_first_token": "ttft",
    "time_to_first_token_intended": "ttft",
    "time_to_first_output_token": "ttft",
    "time_to_first_output_token_intended": "ttft",
    "time_to_second_token": "gap",
    "inter_chunk_latency": "gap",
    "inter_token_latency": "itl",
    "request_latency": "latency",
    "request_latency_intended": "latency",
}
"""The measure whose error bounds a latency metric's, by tag."""

TRUTH_DTYPE = np.dtype(
    [
        ("phase", "<i8"),
        ("index", "<i8"),
        ("received_ns", "<i8"),
        ("first_send_ns", "<i8"),
        ("second_send_ns", "<i8"),
        ("last_send_ns", "<i8"),
        ("chunks", "<i8"),
    ]
)
"""What a server says of one answered request; `phase` and `index` are those of its request id."""

BEYOND = 1.1
"""A load this much above the heaviest level is not the calibrated one any more."""

AGE_NOTED_DAYS = 30
"""Microcode, firmware and neighbours change without a new kernel: an older one is worth a word."""

_FACTS = ("host_id", "cpu_model", "cpu_usable", "kernel", "machine", "python", "steelyard_version")


class ErrorSpread(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute errors in ms."""

    count: int
    p50: float
    p99: float
    max: float


class LoadLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One load that was calibrated.

    Attributes:
        in_flight: requests kept in flight.
        requests_per_s, events_per_s: what was carried; events are content chunks.
        failed: requests that failed or have no truth.
        errors: by measure, those of `MEASURES` that this load has.
        stamp_widths: by measure, by how much stamps alone could overstate it, in ms, on average:
            a part of the errors, known of every run.
    """

    name: str
    streaming: bool
    in_flight: int
    requests: int
    failed: int
    requests_per_s: float
    events_per_s: float
    errors: dict[str, ErrorSpread]
    stamp_widths: dict[str, float] = {}


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """The most that was carried by one worker, beside the simulated server on the same host."""

    requests_per_s: float
    events_per_s: float
    connections: int


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A host's calibration; good for runs whose host facts are the same.

    Attributes:
        load_average: of the minute before it began, in processes that want a CPU.
    """

    schema_version: str = CALIBRATION_SCHEMA
    made_wall_ns: int
    facts: dict[str, Any]
    levels: tuple[LoadLevel, ...]
    ceilings: Ceilings
    load_average: float = 0.0


def calibration_facts(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a host that a calibration depends on.

    Another kernel, Python, Steelyard or number of usable CPUs is another instrument.
    """
    return {name: host.get(name) for name in _FACTS}


def changed_facts(before: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    """Return what is another thing now than when `before` were a calibration's facts, in words."""
    now = calibration_facts(host)
    return ", ".join(
        f"{name.replace('_', ' ')} {before.get(name)}, now {now[name]}"
        for name in _FACTS
        if before.get(name) != now[name]
    )


def measure_errors_ms(
    records: np.ndarray, truth: np.ndarray, *, streaming: bool
) -> tuple[dict[str, np.ndarray], int]:
    """Return reported minus true, in ms by measure, and how many records can't be judged.

    Args:
        records: of `RECORD_DTYPE`.
        truth: of `TRUTH_DTYPE`, in any order.
        streaming: latency ends at the last content chunk; else at the body's end.
    """
    answered = records[(records["error_kind"] == ErrorKind.NONE) & (records["start_ns"] != MISSING)]
    keys = answered["phase"].astype(np.int64) << 40 | answered["schedule_index"]
    true_keys = truth["phase"] << 40 | truth["index"]
    _, ours, theirs = np.intersect1d(keys, true_keys, return_indices=True)
    said, true = answered[ours], truth[theirs]
    unjudged = int(records.size - ours.size)
    end = said["last_token_ns"] if streaming else said["end_ns"]
    found = {
        "latency": (end - said["start_ns"]) - (true["last_send_ns"] - true["received_ns"]),
    }
    if streaming:
        found["ttft"] = (said["first_token_ns"] - said["start_ns"]) - (
            true["first_send_ns"] - true["received_ns"]
        )
        paced = (true["last_send_ns"] > true["first_send_ns"]) & (true["chunks"] > 1)
        said, true = said[paced], true[paced]
        found["gap"] = (said["second_token_ns"] - said["first_token_ns"]) - (
            true["second_send_ns"] - true["first_send_ns"]
        )
        whole = (said["last_token_ns"] - said["first_token_ns"]) - (
            true["last_send_ns"] - true["first_send_ns"]
        )
        found["itl"] = whole / (true["chunks"] - 1)
    return {name: errors / NS_PER_MS for name, errors in found.items() if errors.size}, unjudged


def stamp_widths_ms(records: np.ndarray, *, streaming: bool) -> dict[str, float]:
    """Return by measure the mean width of what stamps leave open, where they bound it at all."""
    answered = records[records["error_kind"] == ErrorKind.NONE]
    widths = {"latency": request_stamp_width_ms(answered)}
    if streaming:
        widths["ttft"] = first_token_stamp_width_ms(answered)
    known = {measure: found[np.isfinite(found)] for measure, found in widths.items()}
    return {measure: float(found.mean()) for measure, found in known.items() if found.size}


def spread(errors_ms: np.ndarray) -> ErrorSpread:
    """Return the percentiles of the absolute errors, linearly interpolated.

    Raises:
        ValueError: there are none.
    """
    if not errors_ms.size:
        message = "a spread needs at least one error"
        raise ValueError(message)
    sizes = np.abs(errors_ms)
    p50, p99 = np.percentile(sizes, (50, 99))
    return ErrorSpread(
        count=int(sizes.size), p50=float(p50), p99=float(p99), max=float(sizes.max())
    )


def ceilings(levels: Iterable[LoadLevel]) -> Ceilings:
    """Return the most that any level carried; connections only count where nothing failed."""
    known = tuple(levels)
    return Ceilings(
        requests_per_s=max((level.requests_per_s for level in known), default=0.0),
        events_per_s=max((level.events_per_s for level in known), default=0.0),
        connections=max((level.in_flight for level in known if not level.failed), default=0),
    )


def carried(level: LoadLevel, *, streaming: bool) -> float:
    """Return what a level carried, as loads are compared: events/s of streams, else requests/s."""
    return level.events_per_s if streaming else level.requests_per_s


def nearest_level(
    levels: Sequence[LoadLevel], measure: str, *, streaming: bool, rate: float
) -> LoadLevel | None:
    """Return the level whose load is nearest to a run's, of those that have `measure`.

    Streams are compared by events/s, whole answers by requests/s: that is how often the client
    is woken. Near means by ratio (the smallest |ln(rate / level)|); of two as near, the heavier.

    Args:
        levels: those of the calibration.
        measure: one of `MEASURES`.
        streaming: of the run; levels of the other way are no match.
        rate: events/s of a streaming run, requests/s of another.
    """
    known = [
        (carried(level, streaming=streaming), level)
        for level in levels
        if level.streaming == streaming and measure in level.errors
    ]
    known = [(load, level) for load, level in known if load > 0]
    if not known or not (math.isfinite(rate) and rate > 0):
        return None
    return min(known, key=lambda pair: (abs(math.log(rate / pair[0])), -pair[0]))[1]


def with_error_bars(
    metrics: Mapping[str, MetricSummary], calibration: Calibration, *, streaming: bool, rate: float
) -> dict[str, MetricSummary]:
    """Return the metrics, each latency with its error bar.

    The bar is the p99 of the nearest level's absolute error, which holds what that level's stamps
    left open; where this run's stamps leave open more than those, the difference is added. It says
    `calibration` as its source.
    """
    made = dict(metrics)
    for tag, metric in metrics.items():
        measure = MEASURE_OF.get(tag)
        if measure is None or not metric.count:
            continue
        level = nearest_level(calibration.levels, measure, streaming=streaming, rate=rate)
        if level is not None:
            added = (metric.error_bar or 0.0) - level.stamp_widths.get(measure, 0.0)
            made[tag] = msgspec.structs.replace(
                metric,
                error_bar=level.errors[measure].p99 + max(added, 0.0),
                error_bar_source="calibration",
            )
    return made


def calibration_notes(
    calibration: Calibration, *, streaming: bool, rate: float, in_flight: int, wall_ns: int
) -> tuple[str, ...]:
    """Return what a reader of error bars should know: a load beyond the calibrated, and its age.

    Args:
        calibration: the host's.
        streaming: of the run.
        rate: events/s of a streaming run, requests/s of another.
        in_flight: the most requests that the run's plan keeps in flight; 0 when it sets no limit.
        wall_ns: when the run began.
    """
    notes = []
    loads = [
        carried(level, streaming=streaming)
        for level in calibration.levels
        if level.streaming == streaming
    ]
    heaviest = max(loads, default=0.0)
    unit = "events/s" if streaming else "requests/s"
    if rate > BEYOND * heaviest:
        notes.append(
            f"The load ({rate:,.0f} {unit}) is beyond the calibrated ({heaviest:,.0f} {unit}): "
            "errors can be larger than their bars"
        )
    if in_flight > BEYOND * calibration.ceilings.connections:
        notes.append(
            f"The load ({in_flight:,} requests in flight) is beyond the calibrated "
            f"({calibration.ceilings.connections:,}): errors can be larger than their bars"
        )
    days = (wall_ns - calibration.made_wall_ns) // (86_400 * NS_PER_S)
    if days > AGE_NOTED_DAYS:
        notes.append(f"The calibration was {days} days old; `steelyard calibrate` makes it anew")
    return tuple(notes)
