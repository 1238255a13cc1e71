"""What `/metrics` says (Prometheus text format 0.0.4)."""

from bisect import bisect_left

from steelyard.kernel.units import NS_PER_S

_BOUNDS_S = (
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_BOUNDS_NS = tuple(round(bound * NS_PER_S) for bound in _BOUNDS_S)


class Gauges:
    """Counters of one server."""

    def __init__(self) -> None:
        """Start from zero."""
        self.by_status: dict[int, int] = {}
        self.running = 0
        self.connections = 0
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.chunks = 0
        self._ttft = [0] * (len(_BOUNDS_NS) + 1)
        self._ttft_sum_ns = 0

    def observe_ttft(self, ttft_ns: int) -> None:
        """Count one time to first token."""
        self._ttft[bisect_left(_BOUNDS_NS, ttft_ns)] += 1
        self._ttft_sum_ns += ttft_ns

    def count_status(self, status: int) -> None:
        """Count one finished request."""
        self.by_status[status] = self.by_status.get(status, 0) + 1

    def text(self) -> bytes:
        """Return the page."""
        name = "steelyard_mock"
        lines = [f"# TYPE {name}_requests_total counter"]
        lines += [
            f'{name}_requests_total{{status="{status}"}} {number}'
            for status, number in sorted(self.by_status.items())
        ]
        for suffix, kind, value in (
            ("requests_running", "gauge", self.running),
            ("connections", "gauge", self.connections),
            ("prompt_tokens_total", "counter", self.prompt_tokens),
            ("output_tokens_total", "counter", self.output_tokens),
            ("chunks_total", "counter", self.chunks),
        ):
            lines += [f"# TYPE {name}_{suffix} {kind}", f"{name}_{suffix} {value}"]
        lines += self._histogram(f"{name}_time_to_first_token_seconds")
        return ("\n".join(lines) + "\n").encode()

    def _histogram(self, name: str) -> list[str]:
        lines = [f"# TYPE {name} histogram"]
        total = 0
        for bound, number in zip((*_BOUNDS_S, "+Inf"), self._ttft, strict=True):
            total += number
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{name}_sum {self._ttft_sum_ns / NS_PER_S}", f"{name}_count {total}"]
