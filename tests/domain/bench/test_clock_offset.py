"""How far two clocks are apart, and a bound that holds whatever the network did."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.clock_offset import DRIFT_MAX, ClockEstimate, ClockExchange

S = 10**9
MS = 10**6


class TwoClocks:
    """A worker's clock that is `offset` behind the controller's and drifts; time is its own."""

    def __init__(self, offset_ns: int, drift: float = 0.0, at_ns: int = 0) -> None:
        self.now_ns = at_ns
        self._offset_ns, self._drift = offset_ns, drift

    def offset(self) -> int:
        return self._offset_ns + round(self._drift * self.now_ns)

    def exchange(self, there_ns: int, busy_ns: int, back_ns: int) -> ClockExchange:
        asked = self.now_ns
        self.now_ns += there_ns
        heard = self.now_ns + self.offset()
        self.now_ns += busy_ns
        answered = self.now_ns + self.offset()
        self.now_ns += back_ns
        return ClockExchange(asked, heard, answered, self.now_ns)


def test_the_middle_is_that_of_the_rfc_and_the_bound_half_of_the_round_trip() -> None:
    """Offset ((T2 - T1) + (T3 - T4)) / 2, RFC 5905 section 8; both to the slack of a drift."""
    clocks = TwoClocks(500 * S)
    exchange = clocks.exchange(3 * MS, 5 * MS, 1 * MS)
    assert exchange.round_trip_ns == 4 * MS
    estimate = ClockEstimate()
    estimate.add(exchange)
    assert estimate.offset_ns(clocks.now_ns) == 500 * S + 1 * MS
    slack_ns = round(DRIFT_MAX * 9 * MS)
    assert estimate.error_ns(500 * S + 1 * MS, clocks.now_ns) == 2 * MS + slack_ns


delays = st.integers(min_value=10_000, max_value=40 * MS)


@given(
    offset=st.integers(min_value=-(10**14), max_value=10**14),
    ppm=st.floats(min_value=-90, max_value=90),
    trips=st.lists(st.tuples(delays, delays, delays, delays), min_size=2, max_size=30),
)
def test_the_truth_is_within_the_bound_whatever_the_delays(
    offset: int, ppm: float, trips: list[tuple[int, int, int, int]]
) -> None:
    """Asymmetric ways, a busy controller, pauses and any drift below the allowed one."""
    clocks = TwoClocks(offset, ppm * 1e-6)
    estimate = ClockEstimate()
    estimate.add(clocks.exchange(*trips[0][:3]))
    estimate.settle()
    for there, busy, back, pause in trips[1:]:
        clocks.now_ns += 20 * pause
        estimate.add(clocks.exchange(there, busy, back))
    used = estimate.offset_ns(clocks.now_ns)
    assert abs(used - clocks.offset()) <= estimate.error_ns(used, clocks.now_ns) + 1
    drift, bound = estimate.drift()
    assert abs(drift - ppm) <= bound + 1e-3
    assert estimate.jumps == 0


def test_one_short_exchange_is_worth_more_than_many_long_ones() -> None:
    """The best by round trip decides: the others only must not contradict it."""
    clocks = TwoClocks(-7 * S)
    estimate = ClockEstimate(drift_max=0.0)
    for there, back in ((9 * MS, 1 * MS), (50_000, 50_000), (2 * MS, 20 * MS)):
        estimate.add(clocks.exchange(there, 0, back))
    assert estimate.offset_ns(clocks.now_ns) == -7 * S
    assert estimate.error_ns(-7 * S, clocks.now_ns) == 50_000
    assert (estimate.exchanges, estimate.round_trip_ns) == (3, 100_000)


def test_a_bound_grows_while_nobody_looks() -> None:
    """After a second without an exchange two clocks may have parted by the allowed drift."""
    clocks = TwoClocks(S)
    estimate = ClockEstimate()
    estimate.add(clocks.exchange(MS, 0, MS))
    fresh = estimate.error_ns(S, clocks.now_ns)
    assert estimate.error_ns(S, clocks.now_ns + S) == fresh + round(DRIFT_MAX * S)


def test_an_offset_kept_too_long_says_how_far_it_is_off() -> None:
    """What was right at the start of a phase is off by the drift since; the bound has it."""
    clocks = TwoClocks(0, 50e-6)
    estimate = ClockEstimate()
    estimate.add(clocks.exchange(10_000, 0, 10_000))
    used = estimate.offset_ns(clocks.now_ns)
    for _ in range(100):
        clocks.now_ns += S
        estimate.add(clocks.exchange(10_000, 0, 10_000))
    error = estimate.error_ns(used, clocks.now_ns)
    assert 5 * MS <= error <= 5 * MS + 30_000


def test_clocks_that_part_faster_than_any_drift_are_noticed() -> None:
    """A clock that is set, or a machine that slept: the old interval is given up and counted."""
    estimate = ClockEstimate()
    estimate.add(TwoClocks(0).exchange(MS, 0, MS))
    estimate.settle()
    later = TwoClocks(40 * S, at_ns=S)
    estimate.add(later.exchange(MS, 0, MS))
    assert estimate.jumps == 1
    assert estimate.offset_ns(later.now_ns) == 40 * S
    assert estimate.drift() == (0.0, 0.0)
