"""The spread of sends that were meant for one moment."""

import numpy as np
import pytest

from steelyard.domain.bench.burst import Release
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING, empty_batch
from steelyard.domain.bench.totals import Totals


def sends(*rows: tuple[int, int], turn: int = 0, phase: int = 0) -> np.ndarray:
    """Return rows of (intended, start)."""
    batch = empty_batch(len(rows))
    batch["intended_ns"] = [intended for intended, _ in rows]
    batch["start_ns"] = [start for _, start in rows]
    batch["turn"] = turn
    batch["phase"] = phase
    return batch


BATCHES = [sends((100, 103), (100, 140)), sends((100, 101), (150, 900)), sends((160, 170))]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_only_what_was_meant_for_the_start_counts_in_any_order(order: tuple[int, ...]) -> None:
    """From 101 to 140; what followed in the slots is another matter."""
    release = Release()
    for number in order:
        release.fold(BATCHES[number])
    assert release.skew_ns == 39


def test_one_send_alone_has_no_spread() -> None:
    """Nor has none, what was never sent, or a later turn."""
    release = Release()
    release.fold(empty_batch(0))
    release.fold(sends((100, 103), (100, MISSING), (200, 210)))
    release.fold(sends((100, 500), turn=1))
    assert release.skew_ns is None


def test_totals_tell_the_largest_of_the_measured_closed_loops() -> None:
    """Warm-up is none of them, and in an open loop equal times are no release."""
    totals = Totals(
        [
            PhasePlan(name="warmup", kind="warmup", concurrency=2),
            PhasePlan(name="a", concurrency=2),
            PhasePlan(name="b", concurrency=2),
            PhasePlan(name="c", request_rate=5.0),
        ]
    )
    for phase, skew in enumerate((9_000_000, 2_000_000, 3_000_000, 8_000_000)):
        totals.fold(sends((100, 100), (100, 100 + skew), phase=phase))
    assert totals.mapping()["burst_skew_s"] == 0.003
    assert "burst_skew_s" not in Totals([PhasePlan(name="a", concurrency=1)]).mapping()
