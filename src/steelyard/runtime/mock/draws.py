"""Every random choice of the simulated server, as tables made once from the seed.

The draw `k` of request `n` (both counted from 0, requests in order of arrival) is entry
`(n * stride + k) % TABLE` of a table, so equal seeds and equal order give equal answers, and a
draw costs an index instead of a generator.
"""

from random import Random

from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.mock.options import FAILING_FAULTS, MockOptions

TABLE = 1 << 16
_MASK = TABLE - 1
_GAP_STRIDE = 8_191


class Draws:
    """The waits and faults of each request, by its number."""

    def __init__(self, options: MockOptions) -> None:
        """Make the tables that `options` need."""
        self._ttft = _durations(options.ttft_ms, options.ttft_dist, options.sigma, options.seed, 1)
        self._gaps = _durations(options.itl_ms, options.itl_dist, options.sigma, options.seed, 2)
        shares = dict(options.faults)
        shares["error"] = shares.get("error", 0.0) + options.fail_rate
        self._faults = _choices(shares, options.seed)
        self._split = _share(options.faults.get("split", 0.0), options.seed, 4)
        self._drop = _share(options.faults.get("drop", 0.0), options.seed, 5)
        self.const_gap_ns = (
            round(options.itl_ms * NS_PER_MS)
            if options.itl_dist == "const" or options.itl_ms == 0
            else -1
        )

    def ttft_ns(self, request: int) -> int:
        """Return the wait before the first content chunk of request number `request`."""
        table = self._ttft
        return table[request & _MASK] if len(table) > 1 else table[0]

    def gaps_ns(self, request: int, first: int, count: int) -> int:
        """Return the summed waits before tokens `first..first + count` of a request."""
        if self.const_gap_ns >= 0:
            return self.const_gap_ns * count
        start = request * _GAP_STRIDE + first
        table = self._gaps
        return sum(table[at & _MASK] for at in range(start, start + count))

    def fault(self, request: int) -> str:
        """Return the fault that this request meets, or an empty string."""
        table = self._faults
        return table[request & _MASK] if table else ""

    def split(self, request: int) -> bool:
        """Return True when this answer leaves in odd pieces."""
        return self._split[request & _MASK] if len(self._split) > 1 else self._split[0]

    def drop(self, request: int) -> bool:
        """Return True when the connection is closed after this answer without notice."""
        return self._drop[request & _MASK] if len(self._drop) > 1 else self._drop[0]


def _random(seed: int, stream: int) -> Random:
    return Random(f"steelyard-mock-{seed}-{stream}")  # noqa: S311 - load to measure, no secret


def _durations(median_ms: float, kind: str, sigma: float, seed: int, stream: int) -> list[int]:
    median_ns = round(median_ms * NS_PER_MS)
    if kind == "const" or median_ns == 0 or sigma == 0:
        return [median_ns]
    draw = _random(seed, stream).lognormvariate
    return [round(median_ns * draw(0.0, sigma)) for _ in range(TABLE)]


def _choices(shares: dict[str, float], seed: int) -> list[str]:
    if not any(shares.get(name, 0.0) for name in FAILING_FAULTS):
        return []
    draw = _random(seed, 3).random
    return [_pick(shares, draw()) for _ in range(TABLE)]


def _pick(shares: dict[str, float], uniform: float) -> str:
    for name in FAILING_FAULTS:
        uniform -= shares.get(name, 0.0)
        if uniform < 0:
            return name
    return ""


def _share(share: float, seed: int, stream: int) -> list[bool]:
    if share in {0.0, 1.0}:
        return [share == 1.0]
    draw = _random(seed, stream).random
    return [draw() < share for _ in range(TABLE)]
