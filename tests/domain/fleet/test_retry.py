import pytest

from steelyard.domain.fleet.model import Backoff, Task, TaskSpec, seconds
from steelyard.domain.fleet.retry import Breaker, wait_ns
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.ledger_rows import TASK_DECODER, packed


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


@pytest.mark.parametrize(
    "backoff",
    [
        Backoff(first_s=1e9, max_s=1e9, jitter=1e9),
        Backoff(first_s=1e300, max_s=float("inf")),
        Backoff(first_s=float("nan"), max_s=float("nan")),
        Backoff(first_s=-1e9, max_s=-1e9, jitter=-3),
    ],
)
def test_no_wait_is_one_that_a_ledger_can_not_keep(backoff):
    """A time beyond 64 bits came back as text: no coordinator could start on that ledger again."""
    for tries in (1, 7):
        ready_ns = seconds(1.8e9) + wait_ns(backoff, tries, "t")
        assert seconds(1.8e9) <= ready_ns < 2**63
        task = Task(spec=TaskSpec(task_id="t", kind="command"), not_before_ns=ready_ns)
        assert TASK_DECODER.decode(packed(task)) == task


def test_what_fails_at_once_opens_a_breaker_once():
    """Eight attempts of a worker whose disk is full are no eight failures one after another."""
    breaker = Breaker()
    for _ in range(8):
        breaker.failed(0)
    assert (breaker.failures, breaker.open_until_ns) == (3, 10 * NS_PER_S)
    breaker.used()
    breaker.failed(10 * NS_PER_S)
    assert breaker.open_until_ns == 30 * NS_PER_S
