"""A phase of a plan in one line, for people who check a configuration."""

from steelyard.domain.bench.plan import PhasePlan


def phase_line(phase: PhasePlan) -> str:
    """Return what drives a phase, how that grows, and what ends it."""
    parts = [_drive(phase), *_limits(phase)]
    if phase.cancellation_rate:
        share = f"{100 * phase.cancellation_rate:g} %"
        parts.append(f"gives up {share} after {phase.cancellation_delay_s:g} s")
    kind = " (warm-up)" if phase.kind == "warmup" else ""
    return f"{phase.name}{kind}: {', '.join(parts)}; ends after {_end(phase)}"


def _drive(phase: PhasePlan) -> str:
    if phase.fixed_schedule:
        return "open loop at the times of the trace"
    if phase.request_rate is None:
        return f"closed loop of {phase.concurrency}" + _ramp(phase, phase.concurrency_ramp_s)
    if phase.rate_series:
        first, last = phase.rate_series[0], phase.rate_series[-1]
        rates = f"{first[1]:g} to {last[1]:g} requests/s in {len(phase.rate_series)} points"
    else:
        rates = f"{phase.request_rate:g} requests/s"
    return f"open loop of {rates}, {phase.arrival}" + _ramp(phase, phase.request_rate_ramp_s)


def _limits(phase: PhasePlan) -> list[str]:
    found = []
    if phase.open_loop and phase.concurrency is not None:
        found.append(
            f"at most {phase.concurrency} at once" + _ramp(phase, phase.concurrency_ramp_s)
        )
    if phase.prefill_concurrency is not None:
        limit = f"at most {phase.prefill_concurrency} in prefill"
        found.append(limit + _ramp(phase, phase.prefill_concurrency_ramp_s))
    return found


def _ramp(phase: PhasePlan, ramp_s: float) -> str:
    article = "an" if phase.ramp[:1] in "aeiou" else "a"
    return f" after {article} {phase.ramp} ramp of {ramp_s:g} s" if ramp_s else ""


def _end(phase: PhasePlan) -> str:
    ends = []
    if phase.request_count is not None:
        ends.append(f"{phase.request_count} requests")
    if phase.session_count is not None:
        ends.append(f"{phase.session_count} sessions")
    if phase.duration_s is not None:
        ends.append(f"{phase.duration_s:g} s")
    if phase.fixed_schedule:
        ends.append("its last line")
    return " or ".join(ends)
