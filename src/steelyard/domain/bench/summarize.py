"""From a run's story, totals and distributions to its summary."""

from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.domain.bench.calibration import calibration_notes, with_error_bars
from steelyard.domain.bench.metrics import MetricFlags, flags_of, group_of
from steelyard.domain.bench.plan import PhasePlan, Plan
from steelyard.domain.bench.plan_notes import load_notes, plugin_notes
from steelyard.domain.bench.ports import AdjustedMetric
from steelyard.domain.bench.redact import redacted_plan, redacted_text
from steelyard.domain.bench.story import Story
from steelyard.domain.bench.summary import (
    SUMMARY_SCHEMA,
    MetricSummary,
    RunFacts,
    Summary,
)
from steelyard.domain.bench.totals import PhaseSpan, Totals
from steelyard.domain.bench.verdict import PhaseRate, RunNumbers, judge
from steelyard.kernel.finite import is_finite_value
from steelyard.kernel.units import NS_PER_S

_ON_TOKENS = int(MetricFlags.PRODUCES_TOKENS_ONLY | MetricFlags.INPUT_TOKENS)


def describe_metric(metric: Any) -> MetricSummary:
    """Return a metric's summary without numbers: what it says of itself."""
    return MetricSummary(
        tag=metric.tag,
        header=metric.header,
        unit=metric.unit,
        flags=int(flags_of(metric)),
        group=group_of(metric),
        larger_is_better=metric.larger_is_better,
        adjusts=str(metric.adjusts()) if isinstance(metric, AdjustedMetric) else "",
    )


def provenance(metric: MetricSummary, totals: Totals) -> str:
    """Return where the token counts behind a metric come from; empty where none are."""
    return totals.provenance_text() if metric.flags & _ON_TOKENS else ""


def _load(plan: Plan, totals: Totals) -> float:
    """Return the load as calibrations count it; 0.0 when nothing was measured."""
    seconds = totals.duration_ns / NS_PER_S
    carried = totals.chunks if plan.endpoint.streaming else totals.requests
    return carried / seconds if seconds else 0.0


def calibrated(
    metrics: Mapping[str, MetricSummary], plan: Plan, story: Story, totals: Totals
) -> dict[str, MetricSummary]:
    """Return the metrics with error bars from the calibration that the run found, if it did."""
    rate = _load(plan, totals)
    if story.calibration is None or not rate:
        return dict(metrics)
    return with_error_bars(metrics, story.calibration, streaming=plan.endpoint.streaming, rate=rate)


def _about_calibration(plan: Plan, story: Story, totals: Totals) -> tuple[str, ...]:
    if story.calibration is None:
        return (story.calibration_problem,) if story.calibration_problem else ()
    return calibration_notes(
        story.calibration,
        streaming=plan.endpoint.streaming,
        rate=_load(plan, totals),
        in_flight=max((phase.concurrency or 0 for phase in plan.phases), default=0),
        wall_ns=story.started_wall_ns,
    )


def single(value: float | None) -> dict[str, Any]:
    """Return the numbers of a metric with one value per run."""
    known = is_finite_value(value)
    return {"avg": value if known else None, "count": int(known)}


def phase_rates(plan: Plan, totals: Totals) -> tuple[PhaseRate, ...]:
    """Return how the open-loop profiling phases kept to their schedule."""
    return tuple(
        PhaseRate(
            name=phase.name,
            requested_per_s=asked_per_s(phase, span),
            intended_span_ns=(span.last_intended_ns or 0) - (span.first_intended_ns or 0),
            actual_span_ns=(span.last_start_ns or 0) - (span.first_start_ns or 0),
            held_by=totals.held_back_by(number),
        )
        for number, (phase, span) in enumerate(zip(plan.phases, totals.spans, strict=True))
        if phase.open_loop and phase.kind != "warmup"
    )


def asked_per_s(phase: PhasePlan, span: PhaseSpan) -> float:
    """Return the rate of an open loop's schedule: its mean where it changes."""
    is_steady = not phase.request_rate_ramp_s and not phase.rate_series
    if phase.request_rate is not None and is_steady:
        return phase.request_rate
    span_ns = (span.last_intended_ns or 0) - (span.first_intended_ns or 0)
    return (span.sent - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0


STAND_IN_TOKENIZER = "builtin"

HINT_CHARS = 60
"""Length of an error's words within a verdict: one line with the rest of the sentence."""


def _short(text: str) -> str:
    return text if len(text) <= HINT_CHARS else text[: HINT_CHARS - 3].rstrip() + "..."


def run_numbers(
    plan: Plan,
    story: Story,
    totals: Totals,
    metrics: Mapping[str, MetricSummary],
    damage: tuple[str, ...],
) -> RunNumbers:
    """Return all that the verdict looks at."""
    nothing = MetricSummary(tag="", header="", unit="")
    lag = metrics.get("send_lag", nothing)
    first_token = metrics.get("time_to_first_token", nothing)
    latency = first_token if first_token.count else metrics.get("request_latency", nothing)
    errors = totals.error_counts()
    commonest = ""
    if errors:
        status = f" {errors[0].status}" if errors[0].status is not None else ""
        # The table of errors has the words in full; here they are a hint.
        example = _short(redacted_text(errors[0].example))
        commonest = f"{errors[0].kind}{status}" + (f" ({example})" if example else "")
    return RunNumbers(
        status=story.status,
        reason=redacted_text(story.reason),
        requests=totals.requests,
        succeeded=totals.succeeded,
        failed=totals.failed,
        cancelled=totals.cancelled,
        cancels=any(p.cancellation_rate for p in plan.phases if p.kind != "warmup"),
        rates=phase_rates(plan, totals),
        latency_p50_ms=latency.p50,
        send_lag_p50_ms=lag.p50,
        send_lag_p99_ms=lag.p99,
        cpu_share={number: load.share for number, load in sorted(story.workers.items())},
        cpu_wait_share={number: load.wait_share for number, load in story.workers.items()},
        chunks=totals.chunks,
        coalesced_events=totals.coalesced_events,
        clock_steps=max((load.clock_steps for load in story.workers.values()), default=0),
        # The built-in tokenizer stands in for the model's: it says nothing of the server's.
        isl_compared=totals.isl_compared * (plan.dataset.tokenizer != STAND_IN_TOKENIZER),
        isl_mismatched=totals.isl_mismatched,
        osl_compared=totals.osl_compared,
        osl_mismatched=totals.osl_mismatched,
        lost=dict(story.lost),
        lost_reasons=story.lost_reasons,
        lost_hosts=story.lost_hosts,
        timed_out={
            str(stats.get("phase", index)): _cut_off(stats)
            for index, stats in ((i, story.phases[i]) for i in story.timed_out())
            if plan.phases[index].kind != "warmup"
        },
        commonest_error=commonest,
        damage=damage,
    )


def _cut_off(stats: dict[str, Any]) -> int:
    """Return how many requests the end of a phase's grace ended: not those given up before it."""
    return int(stats.get("in_flight") or stats["cancelled"] - stats.get("given_up", 0))


def phase_table(plan: Plan, story: Story, totals: Totals) -> tuple[dict[str, Any], ...]:
    """Return each phase's counts: as its machine last said, and as records show."""
    rows = []
    for index, (phase, span) in enumerate(zip(plan.phases, totals.spans, strict=True)):
        stats = story.phases.get(index, {})
        rows.append(
            {
                "name": phase.name,
                "kind": phase.kind,
                "records": span.requests,
                "sent": stats.get("sent", span.sent),
                "completed": stats.get("completed"),
                "failed": stats.get("failed"),
                "cancelled": stats.get("cancelled"),
                "lost": stats.get("lost"),
                "sessions": stats.get("sessions"),
                "dropped_turns": stats.get("dropped_turns"),
                "timed_out": stats.get("timed_out", False),
                "first_start_ns": span.first_start_ns,
                "last_end_ns": span.last_end_ns,
                "duration_s": span.duration_ns / NS_PER_S,
            }
        )
    return tuple(rows)


def summarize(
    story: Story,
    totals: Totals,
    metrics: Mapping[str, MetricSummary],
    *,
    directory: str,
    journal: Mapping[str, Any],
    damage: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    clock_step_records: int = 0,
) -> Summary:
    """Return the summary of a run, whole or interrupted.

    Raises:
        ValueError: the story has no plan: nothing says what was run.
    """
    plan = story.plan
    if plan is None:
        message = "a summary needs the event that started the run"
        raise ValueError(message)
    ends = [span.last_end_ns for span in totals.spans if span.last_end_ns is not None]
    last_record = max(ends) + story.wall_offset_ns if ends else 0
    ended = max(story.last_wall_ns, last_record)
    return Summary(
        schema_version=SUMMARY_SCHEMA,
        verdict=judge(run_numbers(plan, story, totals, metrics, damage)),
        metrics=dict(metrics),
        config=redacted_plan(story.plan_data),
        run=RunFacts(
            run_id=story.run_id,
            status=story.status,
            steelyard_version=story.steelyard_version,
            clock_step_records=clock_step_records,
            started_wall_ns=story.started_wall_ns,
            ended_wall_ns=ended,
            duration_s=(ended - story.started_wall_ns) / NS_PER_S,
            wall_offset_ns=story.wall_offset_ns,
            host=story.host,
            artifact_dir=directory,
            lost_services=tuple(service for service, _ in story.lost),
            journal={**journal, "damage": list(damage)},
            notes=(
                *notes,
                *load_notes(plan, story),
                *plugin_notes(story),
                *_about_calibration(plan, story, totals),
            ),
            calibration=(
                {"made_wall_ns": story.calibration.made_wall_ns} if story.calibration else {}
            ),
        ),
        errors=tuple(
            msgspec.structs.replace(error, example=redacted_text(error.example))
            for error in totals.error_counts()
        ),
        phases=phase_table(plan, story, totals),
    )
