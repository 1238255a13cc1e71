"""Which of several servers a request goes to.

`round_robin` and `random` are pure functions of the schedule index, so that any number of workers
agrees; `least_in_flight` looks at what its own worker has under way.
"""

from collections.abc import Callable, Sequence

from steelyard.domain.bench.arrival import STREAM_TARGET
from steelyard.domain.bench.sampling import drawn
from steelyard.kernel.errors import UsageError, did_you_mean

LEAST_IN_FLIGHT = "least_in_flight"
STRATEGIES = ("round_robin", "random", LEAST_IN_FLIGHT)

Chooser = Callable[[int], int]


def chooser(strategy: str, targets: int, seed: int, in_flight: Sequence[int]) -> Chooser:
    """Return what gives the target, 0 to `targets - 1`, of a schedule index.

    Args:
        strategy: one of `STRATEGIES`.
        targets: how many there are.
        seed: of the plan.
        in_flight: requests under way per target, kept up to date by the caller.

    Raises:
        UsageError: the strategy is unknown.
    """
    if strategy not in STRATEGIES:
        raise UsageError(
            "Unknown URL strategy",
            got=strategy,
            expected=" or ".join(STRATEGIES),
            next_step=did_you_mean(strategy, STRATEGIES) or None,
        )
    if strategy == "random":
        stream_seed = seed ^ (STREAM_TARGET << 56)
        return lambda index: drawn(index, targets, stream_seed)
    if strategy == LEAST_IN_FLIGHT and targets > 1:
        return lambda index: least_loaded(in_flight, index)
    return lambda index: index % targets


def least_loaded(in_flight: Sequence[int], index: int) -> int:
    """Return the target with the least under way; among equals the next one behind `index`."""
    count = len(in_flight)
    order = ((index + step) % count for step in range(count))
    return min(order, key=in_flight.__getitem__)
