"""What is in flight over time, against hand-made sums and against looking often."""

import numpy as np
import pytest

from steelyard.domain.bench.occupancy import (
    KINDS,
    Occupancy,
    in_flight_ns,
    prefill_ns,
    token_ns,
)
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.testing.journals import T0_NS, answered, refused

MS = 1_000_000


def rows(*given):
    return np.concatenate(given)


def test_one_request_by_hand():
    """20 ms to the first of 4 chunks 5 ms apart, 10 tokens in: 35 ms in flight, 20 of prefill.

    Tokens: 10 for 35 ms, and 4 that come evenly over 15 ms: 350 + 4 * 7.5 = 380 token-ms.
    """
    row = answered(0, start_ms=0, ttft_ms=20, itl_ms=5, tokens=4)
    assert in_flight_ns(row).tolist() == [35 * MS]
    assert prefill_ns(row).tolist() == [20 * MS]
    assert token_ns(row).tolist() == [380 * MS]


def test_a_failure_without_content_was_prefill_to_its_end():
    row = refused(0, start_ms=0, after_ms=9)
    assert prefill_ns(row).tolist() == [9 * MS]
    assert token_ns(row).tolist() == [0]


def test_what_was_not_sent_or_has_no_end_was_not_in_flight():
    batch = rows(
        refused(0, start_ms=0, kind=ErrorKind.LOST, start_ns=MISSING, end_ns=MISSING),
        refused(1, start_ms=5, kind=ErrorKind.LOST, end_ns=MISSING),
    )
    assert in_flight_ns(batch).tolist() == [0, 0]
    assert prefill_ns(batch).tolist() == [0, 0]


def test_slices_share_a_request_out_by_hand():
    """In flight from 5 to 40 ms, first content at 25 ms; slices of 10 ms from 0."""
    row = answered(0, start_ms=5, ttft_ms=20, itl_ms=5, tokens=4)
    occupancy = Occupancy(T0_NS, 10 * MS, 4)
    occupancy.add(row)
    found = {kind: (sums / MS).tolist() for kind, sums in occupancy.integrals().items()}
    assert found["busy"] == pytest.approx([5, 10, 10, 10])
    assert found["prefill"] == pytest.approx([5, 10, 5, 0], abs=1e-9)
    # 4 tokens over the 15 ms from 25 to 40: 4/3 at 30 ms; (4/3 + 4) / 2 over the last 10.
    assert found["token"] == pytest.approx(
        [50, 100, 100 + 5 * (4 / 3) / 2, 100 + 10 * (4 / 3 + 4) / 2]
    )


def many(count=200):
    rng = np.random.default_rng(11)
    made = []
    for i in range(count):
        start, ttft, itl = rng.uniform(0, 900), rng.uniform(1, 80), rng.uniform(0, 9)
        tokens = int(rng.integers(1, 12))
        made.append(answered(i, start_ms=start, ttft_ms=ttft, itl_ms=itl, tokens=tokens))
    return rows(*made, refused(count, start_ms=333, after_ms=444))


@pytest.mark.parametrize("slice_ms", [1.0, 7.3, 250.0, 5_000.0])
def test_slices_add_up_to_the_whole_run(slice_ms):
    batch = many()
    occupancy = Occupancy(T0_NS, round(slice_ms * MS), round(2_000 / slice_ms) + 1)
    for part in np.array_split(batch, 3):
        occupancy.add(part)
    whole = {"busy": in_flight_ns, "prefill": prefill_ns, "token": token_ns}
    integrals = occupancy.integrals()
    assert set(integrals) == set(KINDS)
    for kind, per_request in whole.items():
        assert integrals[kind].sum() == pytest.approx(per_request(batch).sum(), rel=1e-9), kind


def test_slices_are_what_one_sees_who_looks_every_10_microseconds():
    batch, slice_ns = many(40), 50 * MS
    occupancy = Occupancy(T0_NS, slice_ns, 21)
    occupancy.add(batch)
    looks = T0_NS + 5_000 + np.arange(0, 21 * slice_ns, 10_000)
    seen = np.zeros(looks.size)
    for row in batch:
        seen += (looks >= row["start_ns"]) & (looks < row["end_ns"])
    expected = seen.reshape(21, -1).mean(axis=1)
    assert occupancy.integrals()["busy"] / slice_ns == pytest.approx(expected, abs=0.02)
