"""What a reader of a report must know of how its requests were sent."""

import pytest

from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.plan_notes import endpoint_notes, load_notes, plugin_notes
from steelyard.domain.bench.story import PLUGIN_FAILED, Story
from steelyard.kernel.events import Event

TLS, PLAIN = "https://a.test", "http://b.test"


def notes(workers=1, **endpoint):
    plan = Plan(
        run_id="r", models=("m",), artifact_dir="/x", phases=(PhasePlan(name="p"),),
        endpoint=EndpointPlan(**endpoint), workers=workers,
    )  # fmt: skip
    return list(endpoint_notes(plan))


def test_unchecked_certificates_are_said():
    """Where there was one to check."""
    (note,) = notes(urls=(PLAIN, TLS), insecure=True)
    assert "--insecure" in note
    assert notes(urls=(PLAIN,), insecure=True) == []
    assert notes(urls=(TLS,)) == []


@pytest.mark.parametrize(
    ("workers", "urls", "said"), [(2, (TLS, PLAIN), 1), (1, (TLS, PLAIN), 0), (2, (TLS,), 0)]
)
def test_counting_per_worker_is_said_where_it_matters(workers, urls, said):
    """With several workers and several servers."""
    found = notes(workers, urls=urls, url_strategy="least_in_flight")
    assert len(found) == said
    assert all("2 workers" in note for note in found)


def of_load(phase, *, status="completed", **stats):
    plan = Plan(
        run_id="r", models=("m",), artifact_dir="/x", phases=(phase,), endpoint=EndpointPlan()
    )
    story = Story()
    story.status = status
    story.phases[0] = {"start_ns": 0, "sent_end_ns": 2_000_000_000, "end_ns": 3, **stats}
    return list(load_notes(plan, story))


@pytest.mark.parametrize("what", ["request_rate", "concurrency", "prefill_concurrency"])
def test_a_load_that_was_over_before_its_ramp_is_said(what):
    """Sent for 2 s, of which a ramp took 2.5."""
    phase = PhasePlan(name="up", request_rate=9, **{f"{what}_ramp_s": 2.5})
    (note,) = of_load(phase)
    assert note.startswith("Phase up sent for 2 s, and its ramp takes 2.5 s")
    assert what.replace("_", " ") in note
    assert of_load(PhasePlan(name="up", request_rate=9, **{f"{what}_ramp_s": 2.0})) == []
    assert of_load(PhasePlan(name="up", request_rate=9), sent_end_ns=-1) == []


def test_a_count_beyond_the_trace_is_said():
    """Where nothing else ended the phase before its count."""
    phase = PhasePlan(name="p", arrival="fixed_schedule", request_count=50)
    (note,) = of_load(phase, sent=12)
    assert "asked for 50 requests, and its trace had 12" in note
    assert of_load(phase, sent=50) == []
    assert of_load(phase, sent=12, status="cancelled") == []
    timed = PhasePlan(name="p", arrival="fixed_schedule", request_count=50, duration_s=1)
    assert of_load(timed, sent=12) == []


def test_turns_that_were_never_sent_are_said():
    phase = PhasePlan(name="p", concurrency=1)
    assert "7 turns were never sent" in of_load(phase, dropped_turns=7)[0]
    assert "1 turn was never sent" in of_load(phase, dropped_turns=1)[0]
    assert of_load(phase, dropped_turns=0) == []


def test_a_plugin_whose_failures_cost_nothing_is_named_with_what_it_failed_at():
    story = Story()
    for plugin, failures, out in (("ui 'x'", 3, True), ("phase_hook 'y'", 1, False)):
        payload = {"plugin": plugin, "failures": failures, "error": "at this", "quarantined": out}
        story.fold(
            Event(
                run_id="r", stream_id="controller", seq=1, mono_ns=1, wall_ns=1, host_id="h",
                boot_id="b", type=PLUGIN_FAILED, payload=payload,
            )
        )  # fmt: skip
    assert list(plugin_notes(story)) == [
        "phase_hook 'y' failed once: at this",
        "ui 'x' failed 3 times, and was then left out: at this",
    ]
