"""The draws: equal seeds give equal answers, distributions have the median they were told."""

import statistics

import pytest

from steelyard.runtime.mock.draws import TABLE, Draws
from steelyard.runtime.mock.options import MockOptions

MS = 1_000_000


def test_const_is_the_same_for_every_request() -> None:
    """No draw moves a constant wait."""
    draws = Draws(MockOptions(ttft_ms=12.5, itl_ms=3))
    assert {draws.ttft_ns(n) for n in range(1000)} == {12_500_000}
    assert draws.gaps_ns(5, 0, 4) == 4 * 3 * MS


def test_lognormal_has_its_median_and_sigma() -> None:
    """The median is the wait asked for; the logarithms spread by sigma."""
    draws = Draws(MockOptions(ttft_ms=50, ttft_dist="lognormal", sigma=0.4))
    waits = sorted(draws.ttft_ns(n) for n in range(TABLE))
    # Standard errors: 0.4 * 1.25 / 256 = 0.2 % of the median; sigma 0.3 %.
    assert waits[TABLE // 2] == pytest.approx(50 * MS, rel=0.01)
    quarter, three_quarters = waits[TABLE // 4], waits[TABLE * 3 // 4]
    spread = statistics.NormalDist(0, 0.4)
    expected = 2.718281828 ** (spread.inv_cdf(0.75) - spread.inv_cdf(0.25))
    assert three_quarters / quarter == pytest.approx(expected, rel=0.01)


def test_seeds_decide() -> None:
    """The same seed repeats, another differs, and both waits draw apart."""

    def drawn(seed: int) -> list[int]:
        options = MockOptions(
            ttft_ms=10, itl_ms=10, ttft_dist="lognormal", itl_dist="lognormal", seed=seed
        )
        draws = Draws(options)
        return [draws.ttft_ns(n) for n in range(50)] + [draws.gaps_ns(n, 1, 1) for n in range(50)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 100


def test_gaps_of_a_chunk_are_the_sum_of_its_tokens() -> None:
    """A chunk of three tokens waits as long as three chunks of one."""
    draws = Draws(MockOptions(itl_ms=7, itl_dist="lognormal"))
    one_by_one = sum(draws.gaps_ns(9, token, 1) for token in range(4, 7))
    assert draws.gaps_ns(9, 4, 3) == one_by_one


def test_fault_shares_are_kept_and_exclude_each_other() -> None:
    """Each fault gets its share of requests, the rest is answered."""
    options = MockOptions(fail_rate=0.1, faults={"reset": 0.2, "hang": 0.05, "split": 0.5})
    draws = Draws(options)
    drawn = [draws.fault(n) for n in range(TABLE)]
    # Standard deviation of a share: at most sqrt(0.25 / 65536) = 0.2 %.
    for name, share in (("error", 0.1), ("reset", 0.2), ("hang", 0.05), ("", 0.65)):
        assert drawn.count(name) / TABLE == pytest.approx(share, abs=0.01)
    assert sum(draws.split(n) for n in range(TABLE)) / TABLE == pytest.approx(0.5, abs=0.01)
    assert not draws.drop(0)
