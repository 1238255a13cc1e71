"""Where the slices of a run lie."""

import numpy as np
import pytest

from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.slices import SLICES_MAX, SliceGrid
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.errors import UsageError
from steelyard.testing.journals import T0_NS, answered, refused

MS = 1_000_000


MAIN = (PhasePlan(name="profiling"),)


def grid(*rows, slice_s=0.1, phases=MAIN):
    totals = Totals(phases)
    totals.fold(np.concatenate(rows))
    return SliceGrid(totals, slice_s)


def test_slices_begin_with_the_first_send_and_end_with_the_load():
    """From 50 to 300 ms in slices of 100 ms: two whole ones and half of one."""
    found = grid(answered(0, start_ms=50, ttft_ms=10), answered(1, start_ms=290, ttft_ms=10))
    assert found.count == 3
    assert found.bounds_ns(0) == (T0_NS + 50 * MS, T0_NS + 150 * MS)
    assert found.bounds_ns(2) == (T0_NS + 250 * MS, T0_NS + 300 * MS)


def test_a_load_that_ends_with_a_slice_begins_no_other():
    assert grid(answered(0, start_ms=0, ttft_ms=200)).count == 2
    assert grid(answered(0, start_ms=0, ttft_ms=201)).count == 3


def test_a_request_belongs_where_it_was_sent_or_meant_to_be():
    rows = np.concatenate([
        answered(0, start_ms=0, ttft_ms=250),
        answered(1, start_ms=100, ttft_ms=1, lag_ms=50),
        refused(2, start_ms=120, kind=ErrorKind.LOST, start_ns=MISSING, end_ns=MISSING),
        refused(3, start_ms=-9, kind=ErrorKind.LOST, start_ns=MISSING, end_ns=MISSING),
    ])  # fmt: skip
    assert grid(rows).of(rows).tolist() == [0, 1, 1, 0]


def test_warm_up_is_before_the_first_slice():
    phases = (PhasePlan(name="warmup", kind="warmup"), PhasePlan(name="profiling"))
    warm = answered(0, start_ms=0, ttft_ms=10, phase=0)
    found = grid(warm, answered(1, start_ms=500, ttft_ms=10, phase=1), phases=phases)
    assert (found.origin_ns, found.count) == (T0_NS + 500 * MS, 1)


def test_a_run_that_never_sent_has_no_slices():
    assert grid(refused(0, start_ms=0, start_ns=MISSING, end_ns=MISSING)).count == 0


def test_slices_beyond_number_are_refused():
    rows = answered(0, start_ms=0, ttft_ms=1_000)
    with pytest.raises(UsageError, match=f"'1000000 of 1e-06 s'; expected at most {SLICES_MAX}"):
        grid(rows, slice_s=1e-6)
