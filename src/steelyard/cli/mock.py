"""`steelyard mock`: serve a simulated inference server whose truth is known."""

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from steelyard.runtime.mock.options import MockOptions, parse_faults
from steelyard.runtime.mock.server import serve

_HELP = """Serve a simulated server that answers at known times, until Ctrl-C.

It speaks OpenAI's chat and text completions, streamed and not, embeddings and rankings, with \
/v1/models, /health and /metrics. Use it to try a command line, to test a client, or to check an \
instrument: the truth log says when each request arrived (stamped by the kernel) and when its \
chunks left.
"""

_EXAMPLES = """Examples:
  steelyard mock --port 8000 --ttft-ms 200 --itl-ms 20 --tokens 64
  steelyard mock --port 0 --ttft-ms 50 --ttft-dist lognormal --truth-log t.csv
  steelyard mock --fail-rate 0.02 --faults reset=0.01,truncated=0.01,split=1
"""

app = App(name="mock", help=_HELP, help_epilogue=_EXAMPLES, help_format="plaintext")

Dist = Literal["const", "lognormal"]


@app.default
def mock(  # noqa: PLR0913 - one argument a flag, as cyclopts reads them
    *,
    port: int = 8000,
    host: str = "127.0.0.1",
    ttft_ms: float = 0.0,
    itl_ms: float = 0.0,
    ttft_dist: Dist = "const",
    itl_dist: Dist = "const",
    sigma: float = 0.5,
    prefill_ms_per_token: float = 0.0,
    tokens: int | None = None,
    tokens_per_chunk: int = 1,
    role_chunk: bool = True,
    fail_rate: float = 0.0,
    error_status: int = 500,
    faults: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    model: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    seed: int = 42,
    truth_log: Annotated[str, Parameter(metavar="PATH", show_default=False)] = "",
) -> int:
    """Serve until Ctrl-C.

    Args:
        port: Where to listen; 0 takes a free port, printed on the first line.
        host: Address to listen on. Anything but loopback is open to the network.
        ttft_ms: Wait from a request's arrival to its first content chunk (median).
        itl_ms: Wait between two output tokens (median).
        ttft_dist: Distribution of the first wait.
        itl_dist: Distribution of the waits between tokens.
        sigma: Standard deviation of the logarithm, for lognormal.
        prefill_ms_per_token: Added to the first wait for each prompt token.
        tokens: Length of an answer; without it, max_tokens of the request or 128.
        tokens_per_chunk: Output tokens in one event.
        role_chunk: Begin a chat stream with a chunk that has a role and no content.
        fail_rate: Share of requests answered with --error-status.
        error_status: HTTP status of those.
        faults: NAME=SHARE, repeated or with commas. One of error, hang, stall, reset, truncated,
            malformed, error-event, empty, garbage per request; split and drop on top.
        model: A model name served, repeated; without it any name is.
        seed: Fixes every draw, with the order in which requests arrive.
        truth_log: CSV file of what really happened, a row per request.
    """
    options = MockOptions(
        host=host,
        port=port,
        ttft_ms=ttft_ms,
        itl_ms=itl_ms,
        ttft_dist=ttft_dist,
        itl_dist=itl_dist,
        sigma=sigma,
        prefill_ms_per_token=prefill_ms_per_token,
        tokens=tokens,
        tokens_per_chunk=tokens_per_chunk,
        role_chunk=role_chunk,
        fail_rate=fail_rate,
        error_status=error_status,
        faults=parse_faults(faults),
        models=model,
        seed=seed,
        truth_log=truth_log,
    )
    summary = serve(options, lambda url: print(f"listening on {url}", flush=True))
    print(summary, file=sys.stderr)
    return 0
