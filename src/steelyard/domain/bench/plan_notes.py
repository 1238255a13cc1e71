"""What a reader of a report must know of how its requests were sent."""

from collections.abc import Iterator

from steelyard.domain.bench.balance import LEAST_IN_FLIGHT
from steelyard.domain.bench.plan import PhasePlan, Plan
from steelyard.domain.bench.redact import redacted_text
from steelyard.domain.bench.story import COMPLETED, Story
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.units import NS_PER_S


def endpoint_notes(plan: Plan) -> Iterator[str]:
    """Return a sentence for each choice that weakens a check or depends on the workers."""
    endpoint = plan.endpoint
    if endpoint.insecure and any(parse_target(url).tls for url in endpoint.urls):
        yield "TLS certificates were not checked (--insecure): who answered is not certain."
    balanced = endpoint.url_strategy == LEAST_IN_FLIGHT and len(endpoint.urls) > 1
    if balanced and plan.workers > 1:
        yield (
            f"least_in_flight: each of the {plan.workers} workers counted its own requests only."
        )


def load_notes(plan: Plan, story: Story) -> Iterator[str]:
    """Return a sentence for each way in which a phase was not the load that its words say."""
    for index, phase in enumerate(plan.phases):
        stats = story.phases.get(index, {})
        yield from _ramp_notes(phase, stats.get("start_ns"), stats.get("sent_end_ns"))
        sent = stats.get("sent", 0)
        asked = phase.request_count
        # Its own bounds are what end a phase early; a duration or a person is no news.
        ended = stats.get("end_ns") is not None and story.status == COMPLETED
        if phase.fixed_schedule and asked and ended and not phase.duration_s and sent < asked:
            yield (
                f"Phase {phase.name} asked for {asked} requests, and its trace had {sent}: a fixed "
                "schedule is replayed once."
            )
        if dropped := stats.get("dropped_turns"):
            turns = "1 turn was" if dropped == 1 else f"{dropped} turns were"
            yield (
                f"Phase {phase.name}: {turns} never sent, since the turn before failed or was "
                "cancelled, which ends a conversation."
            )


def plugin_notes(story: Story) -> Iterator[str]:
    """Return a sentence for each plugin whose failures the run went on without."""
    for plugin, told in sorted(story.plugin_failures.items()):
        count = told.get("failures", 0)
        times = "once" if count == 1 else f"{count} times"
        out = ", and was then left out" if told.get("quarantined") else ""
        yield f"{plugin} failed {times}{out}: {redacted_text(str(told.get('error', '')))}"


def _ramp_notes(phase: PhasePlan, start_ns: int | None, sent_end_ns: int | None) -> Iterator[str]:
    ramps = {
        "request rate": phase.request_rate_ramp_s,
        "concurrency": phase.concurrency_ramp_s,
        "prefill concurrency": phase.prefill_concurrency_ramp_s,
    }
    if start_ns is None or sent_end_ns is None:
        return
    sent_s = (sent_end_ns - start_ns) / NS_PER_S
    for what, ramp_s in ramps.items():
        if 0 < sent_s < ramp_s:
            yield (
                f"Phase {phase.name} sent for {sent_s:.3g} s, and its ramp takes "
                f"{ramp_s:g} s: the {what} never came to its value."
            )
