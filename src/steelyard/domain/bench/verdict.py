"""Whether to believe a run: facts in, verdict out. Each threshold is a constant with its reason."""

from collections.abc import Collection, Iterator, Mapping

import msgspec

from steelyard.domain.bench.summary import Cause, Verdict
from steelyard.domain.bench.verdict_causes import CAUSES, INVALID, SUSPECT, VALID
from steelyard.kernel.units import NS_PER_MS

_RANK = {VALID: 0, SUSPECT: 1, INVALID: 2}

SAMPLES_FOR_P99 = 100
"""Below this many, no request lies beyond the 99th percentile: it is just the largest value."""

ERROR_RATE_SUSPECT = 0.01
"""Failures leave the latencies; above 1 % their absence can move the p99 by its whole tail."""
ERROR_RATE_INVALID = 0.50
"""A server that fails most requests was not measured doing the work."""

RATE_SUSPECT = 0.98
"""Sends spread over 2 % more time than intended are another load than the one asked for."""
RATE_INVALID = 0.90

LAG_SUSPECT = 0.10
"""The p99 of our own send lag, as a share of the median latency it is read against."""
LAG_INVALID = 0.50
"""The median of our own send lag, likewise: half of what is reported from intended is us."""
LAG_FLOOR_MS = 1.0
"""Lag below this is a scheduler tick or two of the client's kernel, whatever the latency."""

CPU_SUSPECT = 0.80
"""A worker is one thread: near a full core it queues events, and its own delay shows. What it
waited for a core counts like what it used: an app beside it makes it as late as its own work."""
CPU_INVALID = 0.97

COALESCED_SUSPECT = 0.01
"""More events than this sharing a read with others make first-content stamps late (DESIGN 3.4)."""

OSL_MISMATCH_SUSPECT = 0.10
"""More answers than this of another length than asked for: the work done is not the work meant."""

RATE_SLACK_NS = 50 * NS_PER_MS
"""A phase sent this much later than meant, in all, is lag: short phases are no slower for it."""

_MEND_PLUGIN = "Mend the plugin that the errors name, or choose another --endpoint-type."

_SPARED = frozenset({"post_processor_manager", "worker_manager"})
"""Services whose loss leaves load and records whole."""


class PhaseRate(msgspec.Struct, frozen=True, kw_only=True):
    """An open-loop phase: how long its sends were meant to take, and took.

    `held_by` has the flags of the limits that it reached: sends waited for them.
    """

    name: str
    requested_per_s: float
    intended_span_ns: int
    actual_span_ns: int
    held_by: tuple[str, ...] = ()


class RunNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """All that the verdict looks at.

    Attributes:
        status: how the run ended, `interrupted` when its journal just ends; `reason` says why it
            ended early, where that is known.
        requests: rows of profiling phases; `succeeded`, `failed` and `cancelled` add up to it.
        cancels: the plan has requests given up on purpose.
        latency_p50_ms: median time to first token, or of the request when nothing streams.
        send_lag_p50_ms, send_lag_p99_ms: our own lateness; None when nothing was sent.
        cpu_share: by worker, the share of a core it used.
        cpu_wait_share: by worker, the share of the time it was ready to run and had no core.
        lost: services that died: id to type; `lost_reasons` has what is known of why, and
            `lost_hosts` the machine where that was not the controller's.
        timed_out: phases whose grace ended with requests in flight, with how many.
    """

    status: str = "completed"
    reason: str = ""
    requests: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    cancels: bool = False
    rates: tuple[PhaseRate, ...] = ()
    latency_p50_ms: float | None = None
    send_lag_p50_ms: float | None = None
    send_lag_p99_ms: float | None = None
    cpu_share: Mapping[int, float] = {}
    cpu_wait_share: Mapping[int, float] = {}
    chunks: int = 0
    coalesced_events: int = 0
    clock_steps: int = 0
    isl_compared: int = 0
    isl_mismatched: int = 0
    osl_compared: int = 0
    osl_mismatched: int = 0
    lost: Mapping[str, str] = {}
    lost_reasons: Mapping[str, str] = {}
    lost_hosts: Mapping[str, str] = {}
    timed_out: Mapping[str, int] = {}
    commonest_error: str = ""
    damage: tuple[str, ...] = ()


def judge(numbers: RunNumbers) -> Verdict:
    """Return the verdict; its causes are the worst first, then in the order they are checked."""
    causes = sorted(
        (*_ending(numbers), *_counts(numbers), *_load(numbers), *_stamps(numbers)),
        key=lambda cause: -_RANK[cause.status],
    )
    return Verdict(status=causes[0].status if causes else VALID, causes=tuple(causes))


def fails(status: str, fail_on: Collection[str]) -> bool:
    """Return True when a verdict is one of those that fail a run, or worse than one of them."""
    return any(_RANK[status] >= _RANK[bound] for bound in fail_on)


def _cause(code: str, status: str, sentence: str, next_step: str = "") -> Cause:
    """Return a cause: what, got and expected as given, then what to do, here or as a rule."""
    todo = next_step or CAUSES[code].next_step
    return Cause(code=code, status=status, message=f"{sentence}. {todo}")


def _ending(n: RunNumbers) -> Iterator[Cause]:
    """How the run ended, and whom it lost."""
    for service, kind in n.lost.items():
        spared = kind in _SPARED
        reason, host = n.lost_reasons.get(service), n.lost_hosts.get(service)
        yield _cause(
            "worker_lost" if kind == "worker" else "service_lost",
            SUSPECT if spared else INVALID,
            f"{service}{f' on {host}' if host else ''} died during the run"
            f"{f' ({reason})' if reason else ''}; "
            + ("load and records are whole" if spared else "load or records are missing"),
        )
    if n.status == "cancelled":
        yield _cause("cancelled_by_user", SUSPECT, "A person stopped the run before its end")
    elif n.status == "interrupted":
        yield _cause(
            "interrupted",
            SUSPECT,
            "The journal just ends: the run was killed; this is what was written till then",
        )
    elif n.status != "completed":
        yield _cause(
            "ended_early",
            SUSPECT,
            f"The run could not go on and ended early ({n.reason.rstrip('.') or n.status})",
        )
    for sentence in n.damage:
        yield _cause("journal_damaged", SUSPECT, sentence.rstrip("."))
    for name, count in n.timed_out.items():
        yield _cause(
            "phase_timeout",
            SUSPECT,
            f"The grace of phase {name} ended with {count} requests in flight; the slowest answers "
            "are missing from the latencies",
        )


def _counts(n: RunNumbers) -> Iterator[Cause]:
    """Whether enough was measured, and of what was asked for."""
    if n.requests == 0:
        yield _cause("no_records", INVALID, "No request of a profiling phase is recorded")
        return
    if n.succeeded == n.failed == 0:
        yield _all_cancelled(n)
        return
    if n.succeeded == 0:
        why = f", most with {n.commonest_error}" if n.commonest_error else ""
        text = f"None of {n.requests} requests succeeded: {n.failed} failed{why}"
        text += f", {n.cancelled} were cancelled" if n.cancelled else ""
        by_plugin = n.commonest_error.startswith("plugin")
        yield _cause("all_failed", INVALID, text, _MEND_PLUGIN if by_plugin else "")
        return
    ended = n.succeeded + n.failed
    rate = n.failed / ended
    if rate > ERROR_RATE_SUSPECT:
        yield _cause(
            "high_error_rate",
            INVALID if rate > ERROR_RATE_INVALID else SUSPECT,
            f"{n.failed} of {ended} requests failed ({100 * rate:.3g} %, allowed "
            f"{100 * ERROR_RATE_SUSPECT:g} %), most with {n.commonest_error or 'no error text'}",
        )
    if n.succeeded < SAMPLES_FOR_P99:
        yield _cause(
            "too_few_samples",
            SUSPECT,
            f"{n.succeeded} successful requests; a p99 needs at least {SAMPLES_FOR_P99}",
        )
    yield from _tokens(n)


def _all_cancelled(n: RunNumbers) -> Cause:
    """Name who gave all requests up."""
    text = f"None of {n.requests} requests succeeded: all were cancelled"
    if n.status == "cancelled":
        return _cause(
            "all_cancelled",
            INVALID,
            f"{text}, as the run was stopped before any was answered",
            "Run again to its end; Ctrl-C once lets requests in flight finish.",
        )
    if n.cancels and not n.timed_out:
        return _cause(
            "all_cancelled",
            INVALID,
            f"{text}, as --request-cancellation-rate asked for",
            "Lower it, or raise --request-cancellation-delay above the latency.",
        )
    return _cause("all_cancelled", INVALID, text)


def _tokens(n: RunNumbers) -> Iterator[Cause]:
    """Whether the work was of the size that was asked for."""
    if n.isl_compared and n.isl_mismatched / n.isl_compared > OSL_MISMATCH_SUSPECT:
        share = 100 * n.isl_mismatched / n.isl_compared
        yield _cause(
            "token_mismatch",
            SUSPECT,
            f"The server counts {n.isl_mismatched} of {n.isl_compared} prompts ({share:.3g} %) "
            "more than 5 % longer or shorter than --tokenizer does; allowed "
            f"{100 * OSL_MISMATCH_SUSPECT:g} %",
            "Name the tokenizer of the model that is served, or believe the server's counts.",
        )
    if n.osl_compared and n.osl_mismatched / n.osl_compared > OSL_MISMATCH_SUSPECT:
        share = 100 * n.osl_mismatched / n.osl_compared
        yield _cause(
            "token_mismatch",
            SUSPECT,
            f"{n.osl_mismatched} of {n.osl_compared} answers ({share:.3g} %) are more than 5 % "
            f"longer or shorter than asked for; allowed {100 * OSL_MISMATCH_SUSPECT:g} %",
        )


def _load(n: RunNumbers) -> Iterator[Cause]:
    """Whether the load was the one asked for."""
    for rate in n.rates:
        intended_ns, actual_ns = rate.intended_span_ns, rate.actual_span_ns
        if intended_ns <= 0 or actual_ns - intended_ns <= RATE_SLACK_NS:
            continue
        kept = intended_ns / actual_ns
        if kept < RATE_SUSPECT:
            yield _cause(
                "rate_missed",
                INVALID if kept < RATE_INVALID else SUSPECT,
                f"Phase {rate.name} sent {_figure(kept * rate.requested_per_s, 4)} requests/s of "
                f"{_figure(rate.requested_per_s, 4)} asked for ({100 * kept:.3g} %, expected "
                f"{100 * RATE_SUSPECT:g} %){_held(rate.held_by)}",
                _instead(rate.held_by),
            )
    yield from _lag(n)
    for worker, used in n.cpu_share.items():
        waited = n.cpu_wait_share.get(worker, 0.0)
        wanted = min(used + waited, 1.0)
        if wanted > CPU_SUSPECT:
            waiting = f" and waited for one {100 * waited:.3g} % of the time" if waited else ""
            yield _cause(
                "client_cpu",
                INVALID if wanted > CPU_INVALID else SUSPECT,
                f"Worker {worker} used {100 * used:.3g} % of a core{waiting} (allowed "
                f"{100 * CPU_SUSPECT:g} % in all)",
            )


def _held(limits: tuple[str, ...]) -> str:
    return f"; {' and '.join(limits)} held sends back" if limits else ""


def _instead(limits: tuple[str, ...]) -> str:
    """Return what to do about sends that a limit held back; empty when none did."""
    return f"Raise {' and '.join(limits)}, or ask for less load." if limits else ""


def _figure(value: float, digits: int = 3) -> str:
    """Return a number as people write it: a large one with all of its digits, no exponent."""
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def _lag(n: RunNumbers) -> Iterator[Cause]:
    limits = tuple(dict.fromkeys(flag for rate in n.rates for flag in rate.held_by))
    if n.send_lag_p50_ms is None or n.send_lag_p99_ms is None or not n.latency_p50_ms:
        return
    median_limit = max(LAG_INVALID * n.latency_p50_ms, LAG_FLOOR_MS)
    tail_limit = max(LAG_SUSPECT * n.latency_p50_ms, LAG_FLOOR_MS)
    if n.send_lag_p50_ms > median_limit:
        yield _cause(
            "send_lag",
            INVALID,
            f"Half of the requests left more than {_figure(n.send_lag_p50_ms)} ms late (allowed "
            f"{_figure(median_limit)} ms); the median latency is {_figure(n.latency_p50_ms)} ms"
            f"{_held(limits)}",
            _instead(limits),
        )
    elif n.send_lag_p99_ms > tail_limit:
        yield _cause(
            "send_lag",
            SUSPECT,
            f"1 % of the requests left more than {_figure(n.send_lag_p99_ms)} ms late (allowed "
            f"{_figure(tail_limit)} ms); the median latency is {_figure(n.latency_p50_ms)} ms"
            f"{_held(limits)}",
            _instead(limits),
        )


def _stamps(n: RunNumbers) -> Iterator[Cause]:
    """Whether the stamps can be trusted."""
    if n.chunks and n.coalesced_events / n.chunks > COALESCED_SUSPECT:
        share = 100 * n.coalesced_events / n.chunks
        yield _cause(
            "coalesced_stamps",
            SUSPECT,
            f"{n.coalesced_events} of {n.chunks} chunks ({share:.3g} %) shared a read with others; "
            f"allowed {100 * COALESCED_SUSPECT:g} %",
        )
    if n.clock_steps:
        times = "once" if n.clock_steps == 1 else f"{n.clock_steps} times"
        yield _cause(
            "clock_stepped",
            SUSPECT,
            f"The wall clock was set {times} during the run; kernel stamps of that moment can be "
            "off by the step, expected none",
        )
