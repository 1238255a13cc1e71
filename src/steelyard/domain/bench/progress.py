"""One line about a phase in progress."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from steelyard.domain.bench.messages import PhaseStats
from steelyard.kernel.units import NS_PER_S, seconds_to_ns

ERROR_KINDS_SHOWN = 3
_BETWEEN = " | "
_ERRORS_RANK, _LEAST_RANK = 3, 6


class _Part(NamedTuple):
    """A piece of the line: `rank` 0 is the last to go, `short` says less in less room."""

    rank: int
    text: str
    short: str


def progress_line(
    stats: PhaseStats, live: Mapping[str, Any], now_ns: int, width: int | None = None
) -> str:
    """Return what a person wants to know of a phase now, in at most `width` characters.

    What does not fit is shortened and then left out, the least important first; what is absent is
    left out as well.

    Args:
        stats: the phase's counts and times.
        live: may hold what the plan says of the phase (`phases`, `request_count`, `session_count`,
            `duration_s`, `grace_s`, `asked_rate`, `concurrency`), `stopping` (`drain` or `cancel`,
            as a person asked), the figures of `messages.LiveStats` and, where a rate changes, those
            of `rate_progress.RateProgress`.
        now_ns: CLOCK_MONOTONIC.
        width: no bound when None.
    """
    if stats.phase_index < 0:
        return stats.phase
    start_ns = now_ns if stats.start_ns is None else stats.start_ns
    elapsed_s = max(now_ns - start_ns, 0) / NS_PER_S
    parts = [
        _head(stats, live, elapsed_s),
        _done(stats, live),
        _Part(6, f"in flight {stats.in_flight}", f"{stats.in_flight} in flight"),
        _rate(stats, live, elapsed_s),
        _quantiles(5, "TTFT", live.get("ttft_p50_ms"), live.get("ttft_p99_ms")),
        _quantiles(7, "latency", live.get("latency_p50_ms"), live.get("latency_p99_ms")),
        _errors(stats, live),
        _ending(stats, live, now_ns, elapsed_s),
    ]
    return _fitted([part for part in parts if part.text], width)


def remaining_s(stats: PhaseStats, live: Mapping[str, Any], elapsed_s: float) -> float | None:
    """Return the seconds a phase will still take; None when nothing tells.

    The earliest of its bounds: its duration's end; its requests at the rate asked for, or at the
    pace so far where that is another thing (a closed loop, a ceiling reached); its sessions at the
    pace so far.
    """
    ends = []
    ended = _ended(stats)
    count, asked = live.get("request_count"), live.get("asked_rate")
    if live.get("sends_end_s") is not None and not _at_ceiling(stats, live):
        ends.append(
            max(live["sends_end_s"] - elapsed_s, 0) + (live.get("latency_p50_ms") or 0) / 1e3
        )
    elif count and asked and not _at_ceiling(stats, live):
        ends.append(max(count - stats.sent, 0) / asked + (live.get("latency_p50_ms") or 0) / 1e3)
    elif count and ended and elapsed_s > 0:
        ends.append(max(count - ended, 0) * elapsed_s / ended)
    sessions, begun = live.get("session_count"), live.get("sessions")
    if sessions and begun and elapsed_s > 0:
        # Sessions of several turns: those that are under way have about one more to do.
        open_ones = min(live.get("concurrency") or 0, begun) if ended > begun else 0
        ends.append((max(sessions - begun, 0) + open_ones) * elapsed_s / begun)
    if live.get("duration_s"):
        ends.append(max(live["duration_s"] - elapsed_s, 0.0))
    return min(ends) if ends else None


def grace_end_ns(stats: PhaseStats, live: Mapping[str, Any]) -> int | None:
    """Return when requests in flight are given up; None when nothing but their timeout ends them.

    A grace begins with the end of a duration, or when a person stops the run.
    """
    if stats.sent_end_ns is None or live.get("grace_s") is None:
        return None
    grace_ns = seconds_to_ns(live["grace_s"])
    duration_s = live.get("duration_s")
    if duration_s and stats.start_ns is not None:
        planned_ns = stats.start_ns + seconds_to_ns(duration_s)
        if stats.sent_end_ns >= planned_ns:
            return planned_ns + grace_ns
    return stats.sent_end_ns + grace_ns if live.get("stopping") else None


def _ended(stats: PhaseStats) -> int:
    return stats.completed + stats.failed + stats.cancelled


def _at_ceiling(stats: PhaseStats, live: Mapping[str, Any]) -> bool:
    return bool(live.get("concurrency")) and stats.in_flight >= live["concurrency"]


def _head(stats: PhaseStats, live: Mapping[str, Any], elapsed_s: float) -> _Part:
    phases = live.get("phases") or 1
    place = f" {stats.phase_index + 1}/{phases}" if phases > 1 else ""
    text = f"{stats.phase}{place} {_clock(elapsed_s)}"
    return _Part(0, text, text)


def _done(stats: PhaseStats, live: Mapping[str, Any]) -> _Part:
    goal = f"/{live['request_count']}" if live.get("request_count") else ""
    text = short = f"done {_ended(stats)}{goal}"
    if live.get("session_count"):
        # Where a session is one request, the counts in shared memory are ahead of the records.
        sessions = live.get("sessions", 0) if live.get("later_turns", 1) else _ended(stats)
        text += f", sessions {sessions}/{live['session_count']}"
    return _Part(2, text, short)


def _rate(stats: PhaseStats, live: Mapping[str, Any], elapsed_s: float) -> _Part:
    """Return the pace: of sends where a rate is asked for, of answers where slots are kept full."""
    asked = live.get("asked_rate")
    if "target_rate" in live:
        short = f"sent {live['sent_rate']:.3g}/s"
        return _Part(4, f"{short} of {live['target_rate']:.4g}", short)
    if asked:
        if stats.sent_end_ns is not None and stats.start_ns is not None:
            elapsed_s = (stats.sent_end_ns - stats.start_ns) / NS_PER_S
        if elapsed_s <= 0 or not stats.sent:
            return _Part(4, "", "")
        short = f"sent {stats.sent / elapsed_s:.3g}/s"
        return _Part(4, f"{short} of {asked:.4g}", short)
    rate = live.get("request_rate") or (_ended(stats) / elapsed_s if elapsed_s > 0 else 0)
    text = f"{rate:.3g}/s" if rate else ""
    return _Part(4, text, text)


def _quantiles(rank: int, name: str, p50_ms: float | None, p99_ms: float | None) -> _Part:
    if p50_ms is None:
        return _Part(rank, "", "")
    p50, p99 = _duration(p50_ms), _duration(p50_ms if p99_ms is None else p99_ms)
    if p50.rpartition(" ")[2] == p99.rpartition(" ")[2]:
        return _Part(rank, f"{name} p50/p99 {p50.partition(' ')[0]}/{p99}", f"{name} {p50}")
    return _Part(rank, f"{name} p50/p99 {p50}/{p99}", f"{name} {p50}")


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1e3:.3g} s" if milliseconds >= 1e3 else f"{milliseconds:.3g} ms"


def _errors(stats: PhaseStats, live: Mapping[str, Any]) -> _Part:
    errors = live.get("errors") or {}
    if not errors and not stats.failed:
        return _Part(_ERRORS_RANK, "", "")
    ordered = sorted(errors.items(), key=lambda item: -item[1])
    shown = [f"{count} {kind}" for kind, count in ordered[:ERROR_KINDS_SHOWN]]
    # Counts come from shared memory, kinds with the records a little later.
    unnamed = stats.failed - sum(count for _, count in ordered[:ERROR_KINDS_SHOWN])
    if unnamed > 0:
        shown.append(f"{unnamed} more" if shown else f"{unnamed} failed")
    return _Part(
        _ERRORS_RANK, ", ".join(shown), f"{max(stats.failed, sum(errors.values()))} failed"
    )


def _ending(stats: PhaseStats, live: Mapping[str, Any], now_ns: int, elapsed_s: float) -> _Part:
    text = ""
    grace_ns = grace_end_ns(stats, live)
    if stats.end_ns is not None:
        return _Part(1, text, text)
    if live.get("stopping") == "cancel":
        text = "cancelling"
    elif grace_ns is not None:
        text = f"grace {_clock(max(grace_ns - now_ns, 0) / NS_PER_S)} left"
    else:
        left_s = remaining_s(stats, live, elapsed_s)
        text = "" if left_s is None else f"{_clock(left_s)} left"
        if stats.sent_end_ns is not None:
            text = "waiting for answers"
    return _Part(1, text, text)


def _fitted(parts: list[_Part], width: int | None) -> str:
    """Return the parts as one line: shortened, then dropped, by rank until they fit.

    What errors there are is told in full as long as dropping the least important parts helps.
    """
    texts = {part.rank: part.text for part in parts}
    by_rank = sorted(parts, key=lambda part: -part.rank)
    dear = [part for part in by_rank if part.rank > _ERRORS_RANK]
    least = [part for part in dear if part.rank >= _LEAST_RANK]
    steps = [(part, part.short) for part in dear] + [(part, "") for part in least]
    steps += [(part, part.short) for part in by_rank if part not in dear]
    steps += [(part, "") for part in by_rank[:-1]]
    line = _joined(parts, texts)
    for part, text in steps:
        if width is None or len(line) <= width:
            return line
        texts[part.rank] = text
        line = _joined(parts, texts)
    return line if width is None else line[:width]


def _joined(parts: list[_Part], texts: Mapping[int, str]) -> str:
    return _BETWEEN.join(texts[part.rank] for part in parts if texts[part.rank])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
