from steelyard.domain.fleet.rate_limit import RateLimit
from steelyard.kernel.units import NS_PER_S


def test_a_burst_goes_through_and_then_the_rate_holds():
    limit = RateLimit(per_s=2, burst=3)
    assert [limit.wait_s("a", 0) for _ in range(4)] == [0, 0, 0, 0.5]  # 1 / (2 a second)
    assert limit.wait_s("a", NS_PER_S // 2) == 0
    assert limit.wait_s("a", NS_PER_S // 2) == 0.5


def test_callers_do_not_share_a_bucket():
    limit = RateLimit(per_s=1, burst=1)
    assert (limit.wait_s("a", 0), limit.wait_s("b", 0), limit.wait_s("a", 0)) == (0, 0, 1)


def test_asking_takes_nothing():
    limit = RateLimit(per_s=1, burst=1)
    assert limit.wait_s("a", 0, take=False) == 0
    assert limit.wait_s("a", 0) == 0
    assert limit.wait_s("a", 0, take=False) == 1


def test_a_bucket_never_holds_more_than_a_burst_and_time_never_runs_back():
    limit = RateLimit(per_s=10, burst=2)
    limit.wait_s("a", 0)
    waits = [limit.wait_s("a", 3600 * NS_PER_S) for _ in range(3)]
    assert waits == [0, 0, 0.1]
    assert limit.wait_s("a", 0) == 0.1


def test_callers_without_number_take_bounded_memory():
    limit = RateLimit(per_s=1, burst=1, callers_max=10)
    for number in range(1000):
        limit.wait_s(f"caller {number}", number)
    assert len(limit._buckets) == 10
