"""Totals of a run, added up by hand."""

import numpy as np
import pytest

from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING, ErrorKind, TokenProvenance
from steelyard.domain.bench.totals import Totals
from steelyard.testing.journals import answered, refused

WARMUP = PhasePlan(name="warmup", kind="warmup")
MAIN = PhasePlan(name="profiling")


def folded(*rows: np.ndarray, phases: tuple[PhasePlan, ...] = (MAIN,)) -> Totals:
    totals = Totals(phases)
    totals.fold(np.concatenate(rows))
    return totals


def test_a_run_lasts_from_its_first_send_to_its_last_end():
    """Sent at 0 and 100 ms, done at 35 and 400 ms: 0.4 s, with 0.335 s in flight."""
    totals = folded(
        answered(0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4),
        answered(1, start_ms=100, ttft_ms=300),
    )
    mapping = totals.mapping()
    assert mapping["duration_s"] == pytest.approx(0.4)
    assert mapping["busy_s"] == pytest.approx(0.335)
    assert mapping["output_tokens"] == 5
    assert mapping["input_tokens"] == 20


def test_warm_up_is_not_measured():
    totals = folded(
        answered(0, start_ms=0, ttft_ms=500, phase=0),
        answered(0, start_ms=1000, ttft_ms=10, phase=1),
        phases=(WARMUP, MAIN),
    )
    assert totals.records == 2
    assert totals.requests == totals.succeeded == 1
    assert totals.duration_ns == 10_000_000


def test_a_pause_between_phases_is_no_load():
    """Two phases of 10 ms, a second apart, last 20 ms."""
    totals = folded(
        answered(0, start_ms=0, ttft_ms=10, phase=0),
        answered(0, start_ms=1000, ttft_ms=10, phase=1),
        phases=(MAIN, PhasePlan(name="more")),
    )
    assert totals.duration_ns == 20_000_000


def test_batches_in_any_order_and_size_come_to_the_same():
    rows = [answered(i, start_ms=10 * i, ttft_ms=7 + i, tokens=3) for i in range(6)]
    rows += [refused(6, start_ms=90), refused(7, start_ms=95, kind=ErrorKind.RESET, status=MISSING)]
    whole = folded(*rows)
    parts = Totals((MAIN,))
    for row in reversed(rows):
        parts.fold(row)
    assert parts.mapping() == whole.mapping()
    assert parts.error_counts() == whole.error_counts()


def test_failures_are_told_by_kind_and_status_the_commonest_first():
    totals = folded(
        refused(0, start_ms=0, status=503),
        refused(1, start_ms=0, status=503),
        refused(2, start_ms=0, kind=ErrorKind.RESET, status=MISSING),
        refused(3, start_ms=0, kind=ErrorKind.CANCELLED, status=MISSING),
    )
    totals.fold_messages({ErrorKind.HTTP_STATUS: "overloaded"})
    totals.fold_messages({ErrorKind.HTTP_STATUS: "later text"})
    first, second = totals.error_counts()
    assert (first.kind, first.status, first.count, first.example) == (
        "http_status", 503, 2, "overloaded",
    )  # fmt: skip
    assert (second.kind, second.status, second.count) == ("reset", None, 1)
    assert (totals.failed, totals.cancelled) == (3, 1)


def test_an_answer_off_by_one_token_or_five_percent_is_what_was_asked():
    """Asked 100: 95 and 105 are fine, 94 is not. Asked 4: 3 is fine, 2 is not."""
    cases = [(100, 95), (100, 105), (100, 94), (4, 3), (4, 2), (MISSING, 7)]
    totals = folded(
        *(
            answered(i, start_ms=0, ttft_ms=1, requested_output_tokens=asked, output_tokens=got)
            for i, (asked, got) in enumerate(cases)
        )
    )
    assert (totals.osl_compared, totals.osl_mismatched) == (5, 2)


def test_prompts_that_the_server_counts_otherwise_are_counted():
    """Of 1,000 tokens 1,050 are within 5 %, 1,051 and 940 are not; what a chat template adds is.

    41 of 9 is within its 32, 42 is not. What we counted ourselves is compared to nothing.
    """
    pairs = [(1050, 1000), (1051, 1000), (940, 1000), (41, 9), (42, 9)]
    rows = [
        answered(i, start_ms=0, ttft_ms=1, input_tokens=told, client_input_tokens=ours)
        for i, (told, ours) in enumerate(pairs)
    ]
    own = answered(9, start_ms=0, ttft_ms=1, input_tokens=9, client_input_tokens=900)
    own["token_provenance"] = TokenProvenance.CLIENT_TOKENIZER
    totals = folded(*rows, own)
    assert (totals.isl_compared, totals.isl_mismatched) == (5, 3)


def test_sources_of_token_counts_are_told_in_shares():
    rows = [answered(i, start_ms=0, ttft_ms=1) for i in range(3)]
    rows.append(
        answered(3, start_ms=0, ttft_ms=1, token_provenance=TokenProvenance.CLIENT_TOKENIZER)
    )
    assert folded(*rows).provenance_text() == "server_usage 75 %, client_tokenizer 25 %"


def test_a_request_that_was_never_sent_has_no_time():
    totals = folded(refused(0, start_ms=0, kind=ErrorKind.LOST, start_ns=MISSING, end_ns=MISSING))
    assert totals.failed == 1
    assert "duration_s" not in totals.mapping()
    assert totals.spans[0].sent == 0
