"""When a run is not to be believed, each with real numbers."""

from pathlib import Path

import msgspec
import pytest

from steelyard.domain.bench.verdict import PhaseRate, RunNumbers, fails, judge
from steelyard.domain.bench.verdict_causes import CAUSES, INVALID, SUSPECT, VALID

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "verdict.md"

GOOD = RunNumbers(
    requests=1000,
    succeeded=1000,
    latency_p50_ms=50.0,
    send_lag_p50_ms=0.02,
    send_lag_p99_ms=0.3,
    cpu_share={0: 0.35, 1: 0.4},
    chunks=64_000,
    coalesced_events=600,
    osl_compared=1000,
    osl_mismatched=90,
    rates=(
        PhaseRate(
            name="profiling",
            requested_per_s=100.0,
            intended_span_ns=9_990_000_000,
            actual_span_ns=10_000_000_000,
        ),
    ),
)


def rate(actual_s: float) -> tuple[PhaseRate, ...]:
    return (
        PhaseRate(
            name="profiling",
            requested_per_s=100.0,
            intended_span_ns=10_000_000_000,
            actual_span_ns=round(actual_s * 1e9),
        ),
    )


def causes(**changes):
    verdict = judge(msgspec.structs.replace(GOOD, **changes))
    return verdict.status, [(cause.code, cause.status) for cause in verdict.causes]


def test_a_run_without_a_fault_is_valid():
    verdict = judge(GOOD)
    assert (verdict.status, verdict.causes) == ("VALID", ())


FAULTS = [
    ({"requests": 0, "succeeded": 0}, "no_records", "INVALID"),
    ({"succeeded": 0, "failed": 1000}, "all_failed", "INVALID"),
    ({"succeeded": 0, "failed": 1, "cancelled": 999}, "all_failed", "INVALID"),
    ({"succeeded": 0, "cancelled": 1000}, "all_cancelled", "INVALID"),
    # 11 of 1000 is 1.1 %; 501 of 1000 is over half.
    ({"succeeded": 989, "failed": 11}, "high_error_rate", "SUSPECT"),
    ({"succeeded": 499, "failed": 501}, "high_error_rate", "INVALID"),
    ({"requests": 99, "succeeded": 99}, "too_few_samples", "SUSPECT"),
    # 10 s of schedule took 10.3 s: 97.1 %; 11.2 s: 89.3 %.
    ({"rates": rate(10.3)}, "rate_missed", "SUSPECT"),
    ({"rates": rate(11.2)}, "rate_missed", "INVALID"),
    # A tenth of the median latency of 50 ms is 5 ms; half of it is 25 ms.
    ({"send_lag_p99_ms": 5.1}, "send_lag", "SUSPECT"),
    ({"send_lag_p50_ms": 25.1, "send_lag_p99_ms": 80.0}, "send_lag", "INVALID"),
    ({"cpu_share": {0: 0.4, 1: 0.81}}, "client_cpu", "SUSPECT"),
    ({"cpu_share": {0: 0.98}}, "client_cpu", "INVALID"),
    # 641 of 64,000 chunks is just over 1 %.
    ({"coalesced_events": 641}, "coalesced_stamps", "SUSPECT"),
    ({"clock_steps": 1}, "clock_stepped", "SUSPECT"),
    ({"osl_mismatched": 101}, "token_mismatch", "SUSPECT"),
    ({"lost": {"worker_1": "worker"}}, "worker_lost", "INVALID"),
    ({"lost": {"records_manager_a": "records_manager"}}, "service_lost", "INVALID"),
    ({"lost": {"ppm": "post_processor_manager"}}, "service_lost", "SUSPECT"),
    ({"status": "interrupted"}, "interrupted", "SUSPECT"),
    ({"status": "failed"}, "ended_early", "SUSPECT"),
    ({"status": "cancelled"}, "cancelled_by_user", "SUSPECT"),
    ({"timed_out": {"profiling": 4}}, "phase_timeout", "SUSPECT"),
    ({"damage": ("records.journal was cut at 4096",)}, "journal_damaged", "SUSPECT"),
    # Half a core used and a third of the time waited for one: 83 %; with 48 %, 98 %.
    ({"cpu_share": {0: 0.5}, "cpu_wait_share": {0: 0.33}}, "client_cpu", "SUSPECT"),
    ({"cpu_share": {0: 0.5}, "cpu_wait_share": {0: 0.48}}, "client_cpu", "INVALID"),
]


@pytest.mark.parametrize(("changes", "code", "status"), FAULTS)
def test_each_fault_is_named(changes, code, status):
    assert causes(**changes) == (status, [(code, status)])


@pytest.mark.parametrize(
    "changes",
    [
        {"succeeded": 990, "failed": 10},
        {"requests": 100, "succeeded": 100},
        {"rates": rate(10.2)},
        {"rates": rate(9.8)},
        {"send_lag_p99_ms": 5.0},
        {"cpu_share": {0: 0.8}},
        {"coalesced_events": 640},
        {"osl_mismatched": 100},
    ],
)
def test_at_the_limit_is_within_it(changes):
    assert causes(**changes) == ("VALID", [])


def test_a_millisecond_of_lag_is_the_kernels_not_ours():
    """With a median latency of 1 ms, a tenth would be 0.1 ms: the floor of 1 ms holds."""
    assert causes(latency_p50_ms=1.0, send_lag_p99_ms=0.9) == ("VALID", [])
    assert causes(latency_p50_ms=1.0, send_lag_p99_ms=1.1)[0] == "SUSPECT"


def test_the_worst_cause_comes_first_and_is_the_verdict():
    status, found = causes(status="cancelled", clock_steps=2, lost={"worker_3": "worker"})
    assert status == "INVALID"
    assert [code for code, _ in found] == ["worker_lost", "cancelled_by_user", "clock_stepped"]


def test_a_short_phase_is_no_slower_for_a_few_milliseconds_of_lag():
    """Ten requests over 45 ms that took 90 ms: 45 ms of lag, not half of the rate."""
    short = msgspec.structs.replace(
        rate(10)[0], intended_span_ns=45_000_000, actual_span_ns=90_000_000
    )
    assert causes(rates=(short,)) == ("VALID", [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"requests": 40, "succeeded": 40},
            ("40 successful requests; a p99 needs at least 100. "
            "Raise --request-count or --benchmark-duration."),
        ),
        (
            {"lost": {"records_manager_a": "records_manager"},
             "lost_reasons": {"records_manager_a": "killed by SIGKILL"}},
            ("records_manager_a died during the run (killed by SIGKILL); load or records are "
            "missing. See logs/steelyard.log beside the report, and run again."),
        ),
        (
            {"lost": {"worker_a": "worker"}, "lost_hosts": {"worker_a": "box1"},
             "lost_reasons": {"worker_a": "killed by SIGKILL"}},
            ("worker_a on box1 died during the run (killed by SIGKILL); load or records are "
            "missing. See logs/steelyard.log beside the report, and run again."),
        ),
        (
            {"rates": rate(12.5)},
            ("Phase profiling sent 80 requests/s of 100 asked for (80 %, expected 98 %). "
            "Raise the limit that holds sends back where one is named; else let the machine be "
            "idle, add --workers or lower --request-rate."),
        ),
        (
            {"rates": (msgspec.structs.replace(rate(12.5)[0], held_by=("--prefill-concurrency",)),),
             "send_lag_p50_ms": 25.1, "send_lag_p99_ms": 80.0},
            ("Phase profiling sent 80 requests/s of 100 asked for (80 %, expected 98 %); "
            "--prefill-concurrency held sends back. Raise --prefill-concurrency, or ask for less "
            "load."),
        ),
        (
            {"succeeded": 0, "failed": 1000, "commonest_error": "plugin 200 (Plugin x failed)"},
            ("None of 1000 requests succeeded: 1000 failed, most with plugin 200 (Plugin x "
            "failed). Mend the plugin that the errors name, or choose another --endpoint-type."),
        ),
        (
            {"succeeded": 0, "cancelled": 1000, "cancels": True},
            ("None of 1000 requests succeeded: all were cancelled, as --request-cancellation-rate "
            "asked for. Lower it, or raise --request-cancellation-delay above the latency."),
        ),
        (
            {"succeeded": 0, "cancelled": 1000, "cancels": True, "status": "cancelled"},
            ("None of 1000 requests succeeded: all were cancelled, as the run was stopped before "
            "any was answered. Run again to its end; Ctrl-C once lets requests in flight finish."),
        ),
        (
            {"isl_compared": 100, "isl_mismatched": 11},
            ("The server counts 11 of 100 prompts (11 %) more than 5 % longer or shorter than "
            "--tokenizer does; allowed 10 %. Name the tokenizer of the model that is served, or "
            "believe the server's counts."),
        ),
        (
            {"succeeded": 0, "failed": 1000, "commonest_error": "connect"},
            ("None of 1000 requests succeeded: 1000 failed, most with connect. "
            "Try one request by hand, such as with curl, and see the errors."),
        ),
        (
            {"cpu_share": {0: 0.5}, "cpu_wait_share": {0: 0.48}},
            ("Worker 0 used 50 % of a core and waited for one 48 % of the time (allowed 80 % in "
            "all). Let the machine be idle, add --workers or ask for less load."),
        ),
    ],
)  # fmt: skip
def test_a_cause_says_what_was_found_what_was_expected_and_what_to_do(changes, message):
    assert judge(msgspec.structs.replace(GOOD, **changes)).causes[0].message == message


def test_every_cause_of_the_table_can_be_given_with_each_of_its_statuses():
    """And no fault asks for a status that the table does not name."""
    given = {(code, status) for _, code, status in FAULTS}
    assert given == {(code, status) for code, kind in CAUSES.items() for status in kind.statuses}


def test_the_page_about_the_verdict_has_each_cause_as_it_is():
    rows = [
        f"| `{code}` | {' or '.join(kind.statuses)} | {kind.when} | {kind.next_step} |"
        for code, kind in CAUSES.items()
    ]
    causes_part = PAGE.read_text().partition("## Exit code")[0]
    assert [line for line in causes_part.splitlines() if line.startswith("| `")] == rows


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        ((), []),
        (("INVALID",), [INVALID]),
        (("SUSPECT",), [SUSPECT, INVALID]),
        (("SUSPECT", "INVALID"), [SUSPECT, INVALID]),
    ],
)
def test_a_run_fails_on_the_verdicts_named_and_on_worse_ones(fail_on, failing):
    assert [status for status in (VALID, SUSPECT, INVALID) if fails(status, fail_on)] == failing


def test_large_figures_are_written_out():
    """`1.73e+03 ms` and `2e+04 requests/s` are no words for a person."""
    fast = msgspec.structs.replace(rate(12.5)[0], requested_per_s=20_000.0)
    late = {"send_lag_p50_ms": 1730.4, "send_lag_p99_ms": 9000.0}
    found = judge(msgspec.structs.replace(GOOD, rates=(fast,), **late)).causes
    said = {cause.code: cause.message for cause in found}
    assert "sent 16,000 requests/s of 20,000 asked for" in said["rate_missed"]
    assert "more than 1,730 ms late (allowed 25 ms)" in said["send_lag"]
