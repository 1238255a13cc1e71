"""What a simulated server is told to do, checked once."""

import math

import msgspec

from steelyard.kernel.errors import UsageError, did_you_mean

DISTRIBUTIONS = ("const", "lognormal")

FAILING_FAULTS = (
    "error",
    "hang",
    "stall",
    "reset",
    "truncated",
    "malformed",
    "error-event",
    "empty",
    "garbage",
)
"""Faults of which a request meets at most one."""

SIDE_FAULTS = ("split", "drop")
"""Faults drawn on their own: the answer is right, but its bytes or its connection are odd."""

TOKENS_MAX = 131_072


class MockOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the server answers.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        ttft_ms: median wait between a request's arrival and its first content chunk.
        itl_ms: median wait between two output tokens.
        ttft_dist, itl_dist: `const`, or `lognormal` with the median above and `sigma`.
        sigma: standard deviation of the logarithm.
        prefill_ms_per_token: added to the first wait for each prompt token.
        tokens: length of an answer that nothing cuts short; None answers with `max_tokens`, or
            128 tokens to a request without it.
        tokens_per_chunk: output tokens in one server-sent event.
        role_chunk: a chat stream begins with a chunk that has a role and no content, sent at once.
        fail_rate: share of requests answered with `error_status`.
        error_status: HTTP status of those.
        faults: share of requests by fault, names from `FAILING_FAULTS` and `SIDE_FAULTS`.
        models: names served; empty accepts any name.
        seed: fixes every draw, together with the order in which requests arrive.
        truth_log: CSV file with one row per request; empty writes none.

    Raises:
        UsageError: a value is outside its range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ttft_ms: float = 0.0
    itl_ms: float = 0.0
    ttft_dist: str = "const"
    itl_dist: str = "const"
    sigma: float = 0.5
    prefill_ms_per_token: float = 0.0
    tokens: int | None = None
    tokens_per_chunk: int = 1
    role_chunk: bool = True
    fail_rate: float = 0.0
    error_status: int = 500
    faults: dict[str, float] = {}
    models: tuple[str, ...] = ()
    seed: int = 42
    truth_log: str = ""

    def __post_init__(self) -> None:
        """Refuse what can't be served."""
        for name in ("ttft_ms", "itl_ms", "sigma", "prefill_ms_per_token"):
            _require(name, getattr(self, name), 0, 3_600_000)
        for name in ("ttft_dist", "itl_dist"):
            if getattr(self, name) not in DISTRIBUTIONS:
                raise UsageError(
                    f"{_flag(name)} is unknown",
                    got=getattr(self, name),
                    expected=" or ".join(DISTRIBUTIONS),
                )
        _require("port", self.port, 0, 65_535)
        _require("fail_rate", self.fail_rate, 0, 1)
        _require("error_status", self.error_status, 400, 599)
        _require("tokens_per_chunk", self.tokens_per_chunk, 1, 4096)
        if self.tokens is not None:
            _require("tokens", self.tokens, 1, TOKENS_MAX)
        _check_faults(self.faults, self.fail_rate)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _require(name: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise UsageError(f"{_flag(name)} is out of range", got=value, expected=f"{low} to {high}")


def _check_faults(faults: dict[str, float], fail_rate: float) -> None:
    known = FAILING_FAULTS + SIDE_FAULTS
    for name, share in faults.items():
        if name not in known:
            raise UsageError(
                f"--faults names an unknown fault {name!r}",
                expected=", ".join(known),
                next_step=did_you_mean(name, known) or None,
            )
        _require(f"faults {name}", share, 0, 1)
    total = fail_rate + sum(faults.get(name, 0.0) for name in FAILING_FAULTS)
    if total > 1 + 1e-9:
        raise UsageError(
            "--fail-rate and --faults together exceed all requests",
            got=round(total, 6),
            expected="a sum of at most 1",
        )


def parse_faults(texts: tuple[str, ...] | list[str]) -> dict[str, float]:
    """Return the shares in texts such as `hang=0.01` or `reset=0.1,split=1`.

    Raises:
        UsageError: a text is not `name=share`.
    """
    shares: dict[str, float] = {}
    for item in (part for text in texts for part in text.split(",") if part):
        name, separator, value = item.partition("=")
        try:
            share = float(value) if separator else 1.0
        except ValueError:
            raise UsageError(
                "--faults has a share that is no number",
                got=item,
                expected="name=share such as reset=0.1",
            ) from None
        shares[name.strip()] = share
    return shares
