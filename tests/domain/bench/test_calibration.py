"""Errors against the truth, the nearest level, and the bars that come of them."""

import msgspec
import numpy as np
import pytest

from steelyard.domain.bench.calibration import (
    TRUTH_DTYPE,
    Calibration,
    Ceilings,
    ErrorSpread,
    LoadLevel,
    calibration_facts,
    calibration_notes,
    ceilings,
    changed_facts,
    measure_errors_ms,
    nearest_level,
    spread,
    stamp_widths_ms,
    with_error_bars,
)
from steelyard.domain.bench.records import MISSING, ErrorKind, empty_batch
from steelyard.domain.bench.summary import MetricSummary

MS = 1_000_000


def record(index, *, phase=1, **columns):
    row = empty_batch(1)
    row["schedule_index"], row["phase"] = index, phase
    for name, value in columns.items():
        row[name] = value
    return row


def truth(*rows):
    return np.array(list(rows), dtype=TRUTH_DTYPE)


def level(name, *, streaming=True, requests_per_s=10.0, events_per_s=100.0, in_flight=1, failed=0,
          **p99):  # fmt: skip
    return LoadLevel(
        name=name, streaming=streaming, in_flight=in_flight, requests=9, failed=failed,
        requests_per_s=requests_per_s, events_per_s=events_per_s,
        errors={m: ErrorSpread(count=9, p50=v / 2, p99=v, max=v * 2) for m, v in p99.items()},
    )  # fmt: skip


def test_a_streams_errors_are_what_was_said_less_what_was_true():
    """Sent at 0, received at 0.25: true TTFT 10 - 0.25 = 9.75 ms, said 10.5, so 0.75 too long.

    True chunks at 10, 14 and 20 ms; seen at 10.5, 14.125 and 21.5: the first gap is 3.625 for 4,
    the mean gap 5.5 for 5, and the last chunk 21.5 for 19.75.
    """
    rows = record(
        7, start_ns=0, first_token_ns=10.5 * MS, second_token_ns=14.125 * MS,
        last_token_ns=21.5 * MS, end_ns=30 * MS,
    )  # fmt: skip
    said, unjudged = measure_errors_ms(
        rows, truth((1, 7, 0.25 * MS, 10 * MS, 14 * MS, 20 * MS, 3)), streaming=True
    )
    assert unjudged == 0
    assert {name: list(values) for name, values in said.items()} == {
        "ttft": [0.75], "gap": [-0.375], "itl": [0.5], "latency": [1.75],
    }  # fmt: skip


def test_a_whole_answer_is_judged_by_its_end_alone():
    rows = record(7, start_ns=0, end_ns=6 * MS)
    said, _ = measure_errors_ms(rows, truth((1, 7, 1 * MS, 4 * MS, -1, 4 * MS, 1)), streaming=False)
    assert {name: list(values) for name, values in said.items()} == {"latency": [3.0]}


def test_chunks_of_one_write_have_no_true_gap_to_be_judged_by():
    rows = record(0, start_ns=0, first_token_ns=5, second_token_ns=5, last_token_ns=5)
    said, _ = measure_errors_ms(rows, truth((1, 0, 0, 2, 2, 2, 128)), streaming=True)
    assert set(said) == {"ttft", "latency"}


def test_rows_are_matched_by_phase_and_index_and_the_rest_is_counted():
    """Of four, one failed, one has no truth, and the truth of phase 2 is not that of phase 1."""
    rows = np.concatenate([
        record(0, start_ns=0, end_ns=5 * MS),
        record(1, start_ns=0, end_ns=5 * MS, error_kind=ErrorKind.RESET),
        record(2, start_ns=0, end_ns=5 * MS),
        record(0, phase=2, start_ns=0, end_ns=9 * MS),
    ])  # fmt: skip
    true = truth(
        (2, 0, 0, 8 * MS, MISSING, 8 * MS, 1),
        (1, 1, 0, 1 * MS, MISSING, 1 * MS, 1),
        (1, 0, 0, 3 * MS, MISSING, 3 * MS, 1),
    )
    said, unjudged = measure_errors_ms(rows, true, streaming=False)
    assert sorted(said["latency"]) == [1.0, 2.0]
    assert unjudged == 2


def test_a_spread_is_of_sizes_not_of_signs():
    """Sizes 0..100: the median is 50, the 99th percentile 99."""
    found = spread(np.array([-1.0, 1.0] * 50 + [-1.0]) * np.arange(101))
    assert found == ErrorSpread(count=101, p50=50.0, p99=99.0, max=100.0)
    with pytest.raises(ValueError, match="at least one"):
        spread(np.empty(0))


def test_connections_that_failed_are_no_ceiling():
    levels = [
        level("a", requests_per_s=50, events_per_s=900, in_flight=64),
        level("b", requests_per_s=70, events_per_s=100, in_flight=512, failed=1),
    ]
    assert ceilings(levels) == Ceilings(requests_per_s=70, events_per_s=900, connections=64)


@pytest.mark.parametrize(
    ("rate", "name"),
    [
        (1, "slow"),
        (300, "slow"),  # ln 3 = 1.10 from 100, ln 33 = 3.5 from 10,000
        (1_001, "fast"),  # the middle by ratio is 1,000
        (1_000, "fast"),  # as near to both: the heavier
        (1e9, "fast"),
    ],
)
def test_the_nearest_level_is_nearest_by_ratio(rate, name):
    levels = [level("slow", events_per_s=100, ttft=1), level("fast", events_per_s=10_000, ttft=1)]
    assert nearest_level(levels, "ttft", streaming=True, rate=rate).name == name


def test_whole_answers_go_by_requests_and_never_by_streams():
    levels = [
        level("stream", requests_per_s=100, latency=1),
        level("few", streaming=False, requests_per_s=10, latency=1),
        level("many", streaming=False, requests_per_s=1_000, events_per_s=0, latency=1),
    ]
    assert nearest_level(levels, "latency", streaming=False, rate=200).name == "many"


def test_a_level_without_the_measure_is_passed_over():
    levels = [level("burst", events_per_s=500, ttft=1), level("paced", events_per_s=9, itl=1)]
    assert nearest_level(levels, "itl", streaming=True, rate=500).name == "paced"
    assert nearest_level(levels, "gap", streaming=True, rate=500) is None
    assert nearest_level(levels, "itl", streaming=True, rate=0) is None


def metric(tag, **numbers):
    return MetricSummary(tag=tag, header=tag, unit="ms", **numbers)


def test_a_bar_is_the_calibrated_p99_and_what_the_runs_stamps_leave_open_beyond_it():
    """0.25 of the level, of which its stamps leave open 0.125; this run's 0.5: 0.625 ms."""
    only = msgspec.structs.replace(
        level("only", ttft=0.25, itl=0.125), stamp_widths={"ttft": 0.125}
    )
    calibration = Calibration(made_wall_ns=1, facts={}, ceilings=ceilings(()), levels=(only,))
    metrics = {
        "time_to_first_token": metric("ttft", count=3, error_bar=0.5, error_bar_source="stamps"),
        "inter_token_latency": metric("itl", count=3),
        "request_latency": metric("latency", count=3, error_bar=0.5, error_bar_source="stamps"),
        "time_to_first_output_token": metric("nobody", count=0),
        "request_throughput": metric("rate", count=1),
    }
    made = with_error_bars(metrics, calibration, streaming=True, rate=100)
    assert {tag: (m.error_bar, m.error_bar_source) for tag, m in made.items()} == {
        "time_to_first_token": (0.625, "calibration"),
        "inter_token_latency": (0.125, "calibration"),
        "request_latency": (0.5, "stamps"),  # this level has no such error
        "time_to_first_output_token": (None, ""),
        "request_throughput": (None, ""),
    }


def test_stamps_as_good_as_the_levels_add_nothing_to_its_error():
    """0.0625 of 0.125 is in the calibrated 0.25 already: counted once."""
    only = msgspec.structs.replace(level("only", ttft=0.25), stamp_widths={"ttft": 0.125})
    calibration = Calibration(made_wall_ns=1, facts={}, ceilings=ceilings(()), levels=(only,))
    metrics = {"time_to_first_token": metric("ttft", count=3, error_bar=0.0625)}
    made = with_error_bars(metrics, calibration, streaming=True, rate=100)
    assert made["time_to_first_token"].error_bar == 0.25


def test_what_stamps_leave_open_is_the_send_and_a_merged_first_read():
    """Sent within 2 ms; of two first reads one is merged, after a read 4 ms before: 2 and 6 ms."""
    rows = empty_batch(3)
    rows["start_ns"], rows["sent_ns"] = 0, 2_000_000
    rows["stamp_lower_ns"], rows["first_token_ns"] = 6_000_000, 10_000_000
    rows["second_token_ns"] = [10_000_000, 11_000_000, 10_000_000]
    rows["end_ns"] = 20_000_000
    rows["error_kind"] = [0, 0, ErrorKind.RESET]
    assert stamp_widths_ms(rows, streaming=True) == {"latency": 2.0, "ttft": 4.0}
    assert stamp_widths_ms(rows, streaming=False) == {"latency": 2.0}
    assert stamp_widths_ms(rows[2:], streaming=True) == {}


DAY_NS = 86_400_000_000_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"rate": 10_900}, []),
        ({"rate": 11_100}, ["(11,100 events/s) is beyond the calibrated (10,000 events/s)"]),
        ({"rate": 200, "streaming": False}, ["200 requests/s) is beyond the calibrated (50 req"]),
        ({"in_flight": 71}, ["(71 requests in flight) is beyond the calibrated (64)"]),
        ({"in_flight": 0, "wall_ns": 30 * DAY_NS}, []),
        ({"wall_ns": 31 * DAY_NS}, ["was 31 days old"]),
    ],
)
def test_a_load_beyond_the_calibrated_and_an_old_calibration_are_named(changes, words):
    """A tenth more than the heaviest level is still near it."""
    levels = (
        level("slow", events_per_s=100, ttft=1),
        level("fast", events_per_s=10_000, in_flight=64, ttft=1),
        level("whole", streaming=False, requests_per_s=50, in_flight=8, latency=1),
    )
    calibration = Calibration(made_wall_ns=0, facts={}, ceilings=ceilings(levels), levels=levels)
    run = {"streaming": True, "rate": 500, "in_flight": 64, "wall_ns": DAY_NS, **changes}
    notes = calibration_notes(calibration, **run)
    assert len(notes) == len(words)
    assert all(part in note for part, note in zip(words, notes, strict=True))


def test_what_changed_since_is_told():
    host = {"host_id": "a", "kernel": "Linux 6.1", "cpu_usable": 2}
    now = {**host, "kernel": "Linux 6.2", "cpu_usable": 4}
    assert changed_facts(calibration_facts(host), now) == (
        "cpu usable 2, now 4, kernel Linux 6.1, now Linux 6.2"
    )


def test_another_kernel_is_another_instrument_and_free_memory_is_not():
    host = {"host_id": "a", "kernel": "Linux 6.1", "memory_bytes": 1}
    assert calibration_facts(host) == calibration_facts({**host, "memory_bytes": 2})
    assert calibration_facts(host) != calibration_facts({**host, "kernel": "Linux 6.2"})
