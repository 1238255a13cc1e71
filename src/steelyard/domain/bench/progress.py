"""One line about a phase in progress."""

from collections.abc import Mapping
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.kernel.units import NS_PER_S


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1e3:.3g} s" if milliseconds >= 1e3 else f"{milliseconds:.3g} ms"


def remaining_s(stats: PhaseStats, live: Mapping[str, Any], elapsed_s: float) -> float | None:
    """Return the seconds a phase will still take; None when nothing tells.

    The earlier of its duration's end and the time its other requests take at the pace so far.
    """
    ends = []
    ended = stats.completed + stats.failed + stats.cancelled
    if live.get("request_count") and ended and elapsed_s > 0:
        ends.append(max(live["request_count"] - ended, 0) * elapsed_s / ended)
    if live.get("duration_s"):
        ends.append(max(live["duration_s"] - elapsed_s, 0.0))
    return min(ends) if ends else None


def progress_line(stats: PhaseStats, live: Mapping[str, Any], now_ns: int) -> str:
    """Return what a person wants to know of a phase now.

    `live` may hold `request_count` and `duration_s` (the phase's bounds) and the figures of
    `messages.LiveStats`: `request_rate`, `ttft_p50_ms`, `latency_p50_ms`, `errors` (count by
    kind). What is absent is left out.
    """
    start_ns = stats.start_ns if stats.start_ns is not None else now_ns
    elapsed_s = max(now_ns - start_ns, 0) / NS_PER_S
    ended = stats.completed + stats.failed + stats.cancelled
    goal = f"/{live['request_count']}" if live.get("request_count") else ""
    parts = [
        f"{stats.phase} {_clock(elapsed_s)}",
        f"sent {stats.sent}",
        f"done {ended}{goal}",
        f"in flight {stats.in_flight}",
    ]
    rate = live.get("request_rate") or (ended / elapsed_s if elapsed_s > 0 else 0)
    if rate:
        parts.append(f"{rate:.3g}/s")
    for name, key in (("TTFT", "ttft_p50_ms"), ("latency", "latency_p50_ms")):
        if live.get(key) is not None:
            parts.append(f"{name} {_duration(live[key])}")
    errors = live.get("errors") or ({"failed": stats.failed} if stats.failed else {})
    parts += [f"{count} {kind}" for kind, count in errors.items()]
    left_s = remaining_s(stats, live, elapsed_s)
    if left_s is not None and stats.end_ns is None:
        parts.append(f"{_clock(left_s)} left")
    return " | ".join(parts)
