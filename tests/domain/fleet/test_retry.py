import pytest

from steelyard.domain.fleet.model import Backoff
from steelyard.domain.fleet.retry import wait_ns
from steelyard.kernel.units import NS_PER_S


@pytest.mark.parametrize(("tries", "seconds"), [(0, 1), (2, 2), (3, 4), (9, 256), (10, 300)])
def test_a_wait_doubles_up_to_its_bound(tries, seconds):
    assert wait_ns(Backoff(jitter=0), tries, "t") == seconds * NS_PER_S


def test_jitter_takes_its_share_and_is_the_same_for_the_same_task():
    waits = {wait_ns(Backoff(jitter=0.5), 5, f"task {n}") for n in range(50)}
    assert len(waits) == 50
    assert 8 * NS_PER_S <= min(waits) < max(waits) <= 16 * NS_PER_S
    assert wait_ns(Backoff(), 5, "t") == wait_ns(Backoff(), 5, "t")


@pytest.mark.parametrize(("factor", "tries"), [(1e9, 1_000), (1e300, 3), (2.0, 100_000)])
def test_a_factor_too_large_for_its_power_waits_for_the_bound(factor, tries):
    assert wait_ns(Backoff(factor=factor, jitter=0), tries, "t") == 300 * NS_PER_S


def test_a_factor_below_one_shortens_waits():
    assert wait_ns(Backoff(first_s=8, factor=0.5, jitter=0), 4, "t") == NS_PER_S
