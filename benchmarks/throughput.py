"""What a request costs: Steelyard against the bare client (the limit) and AIPerf (the peer).

    python -m benchmarks.throughput [--quick] [--write] [--no-aiperf]

64 requests in flight without server delay, one worker; each tool in a process tree of its own,
all CPU time of the tree counted. `whole` divides everything, start, report and exports included;
`in the run` leaves out what a run of few requests costs. Every row of Steelyard's keeps complete
records in the journal, decodes and counts all answers and computes all metrics; the second also
writes all records as files of rows (JSON lines and Parquet), as a user gets them by default.
"""

import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import (
    AIPERF_NAME,
    Aiperf,
    Load,
    bare_command,
    install_aiperf,
    steelyard_command,
    steelyard_summary,
)
from benchmarks.processes import Server, ToolError, build_server, run_tool, serving
from benchmarks.tables import page, parser, publish, table

CONCURRENCY = 64
FEW = 200
ROUNDS = 5
PEER_ROUNDS = 3
SUMMARY_ONLY, WITH_ROWS = "Steelyard, summary", "Steelyard, files of rows too"
SERVER_BUSY_MAX = 0.7


@dataclass(frozen=True)
class Case:
    """One kind of load, and how many requests each tool gets so that it runs for seconds."""

    name: str
    streaming: bool
    tokens: int
    ours: int
    aiperf: int
    target_bare: float
    target_aiperf: float = 40.0


CASES = (
    Case("short requests, not streaming", False, 1, 100_000, 10_000, 3.3),
    Case("streams of 128 tokens", True, 128, 40_000, 4_000, 2.5),
)


@dataclass(frozen=True)
class Cost:
    """What a tool needed in one case; CPU in milliseconds a request."""

    tool: str
    requests: int
    requests_per_s: float
    whole_ms: float
    run_ms: float
    server_share: float

    @property
    def per_cpu_s(self) -> float:
        """Completed requests for each CPU second, everything counted."""
        return 1e3 / self.whole_ms


def measure_bare(load: Load, server: Server, seconds: float) -> Cost:
    """Run the bare client; its start is an interpreter's and is left out of `in the run`."""
    before = server.cpu_s()
    run = run_tool(bare_command(load, seconds), timeout_s=seconds + 60)
    used = server.cpu_s() - before
    result = json.loads(run.output.splitlines()[-1])
    return Cost(
        "bare client",
        result["requests"],
        result["requests_per_s"],
        run.cpu_s * 1e3 / result["requests"],
        result["cpu_ms_per_request"],
        used / result["wall_s"],
    )


def measure_tool(
    name: str,
    server: Server,
    requests: int,
    command: Callable[[int, Path], list[str]],
    rate: Callable[[Path], float],
) -> Cost:
    """Run a tool twice, with few and with many requests."""
    with tempfile.TemporaryDirectory() as scratch:
        few = run_tool(command(FEW, Path(scratch) / "few"), timeout_s=300)
        before = server.cpu_s()
        many = run_tool(command(requests, Path(scratch) / "many"), timeout_s=600)
        used = server.cpu_s() - before
        requests_per_s = rate(Path(scratch) / "many")
    return Cost(
        name,
        requests,
        requests_per_s,
        many.cpu_s * 1e3 / requests,
        (many.cpu_s - few.cpu_s) * 1e3 / (requests - FEW),
        used * requests_per_s / requests,
    )


def measure(case: Case, server: Server, aiperf: Aiperf | None, *, quick: bool) -> list[list[Cost]]:
    """Let the tools take turns; return each one's rounds, the first of all beside each other."""
    scale = 10 if quick else 1
    bare: list[Cost] = []
    lean: list[Cost] = []
    ours: list[Cost] = []
    theirs: list[Cost] = []

    def load(requests: int) -> Load:
        return Load(server.url, case.streaming, case.tokens, CONCURRENCY, requests)

    for number in range(1 if quick else ROUNDS):
        bare.append(measure_bare(load(0), server, 1.0 if quick else 4.0))
        requests = case.ours // scale
        lean.append(_measure_ours(SUMMARY_ONLY, server, requests, load, "--exporters", "json"))
        ours.append(_measure_ours(WITH_ROWS, server, requests, load))
        if aiperf is not None and number < PEER_ROUNDS:
            theirs.append(
                measure_tool(
                    "AIPerf", server, case.aiperf // scale,
                    lambda n, path: aiperf.command(load(n), path),
                    lambda path: float(aiperf.summary(path)["request_throughput"]["avg"]),
                )
            )  # fmt: skip
    return [costs for costs in (bare, lean, ours, theirs) if costs]


def _measure_ours(
    name: str, server: Server, requests: int, load: Callable[[int], Load], *flags: str
) -> Cost:
    return measure_tool(
        name,
        server,
        requests,
        lambda count, path: steelyard_command(load(count), path, *flags),
        lambda path: _our_rate(path, requests),
    )


def _our_rate(directory: Path, requests: int) -> float:
    return float(steelyard_summary(directory, requests)["request_throughput"]["avg"])


def _median(costs: list[Cost]) -> Cost:
    middle = statistics.median_low([cost.run_ms for cost in costs])
    return next(cost for cost in costs if cost.run_ms == middle)


def describe(case: Case, rounds: list[list[Cost]]) -> str:
    """Return a case's table of costs, and its ratios beside their targets.

    A ratio is of two runs that followed each other: a host that is slow for a while is so for both.
    """
    head = (
        case.name, "requests", "requests/s", "CPU ms/request, whole", "in the run",
        "requests per CPU s", "server's CPU",
    )  # fmt: skip
    rows = [
        (
            cost.tool, f"{cost.requests:,}", f"{cost.requests_per_s:,.0f}",
            f"{cost.whole_ms:.4f}", f"{cost.run_ms:.4f}", f"{cost.per_cpu_s:,.0f}",
            f"{cost.server_share:.0%}",
        )
        for cost in map(_median, rounds)
    ]  # fmt: skip
    bare, lean, ours = rounds[:3]
    of_bare, of_peer = f"<= {case.target_bare:g} x", f">= {case.target_aiperf:g} x"
    ratios = [
        ("CPU per request of the bare client's, in the run, summary",
         [a.run_ms / b.run_ms for a, b in zip(lean, bare, strict=True)], of_bare),
        ("CPU per request of the bare client's, in the run, files of rows too",
         [a.run_ms / b.run_ms for a, b in zip(ours, bare, strict=True)], ""),
        ("CPU per request of the bare client's, whole, files of rows too",
         [a.whole_ms / b.whole_ms for a, b in zip(ours, bare, strict=True)], ""),
    ]  # fmt: skip
    for peer in rounds[3:]:
        pairs = list(zip(ours, peer, strict=False))  # the peer takes part in the first rounds
        ratios += [
            (f"requests per CPU s of {peer[0].tool}'s, in the run",
             [b.run_ms / a.run_ms for a, b in pairs], of_peer),
            (f"requests per CPU s of {peer[0].tool}'s, whole",
             [a.per_cpu_s / b.per_cpu_s for a, b in pairs], ""),
        ]  # fmt: skip
    multiples = [
        (what, f"{statistics.median(each):.3g} x", f"{min(each):.3g} to {max(each):.3g}", target)
        for what, each, target in ratios
    ]
    heads = ("Steelyard, in multiples", "median of rounds", "least to largest", "target")
    return table(head, rows) + "\n\n" + table(heads, multiples)


def main() -> None:
    """Run both cases and print the page."""
    flags = parser(__doc__)
    flags.add_argument("--no-aiperf", action="store_true", help="leave the peer out")
    arguments = flags.parse_args()
    blocks = []
    with tempfile.TemporaryDirectory() as scratch:
        aiperf = None if arguments.no_aiperf else install_aiperf(Path(scratch))
        program = build_server(Path(scratch))
        for case in CASES:
            with serving(program) as server:
                rounds = measure(case, server, aiperf, quick=arguments.quick)
            blocks.append(describe(case, rounds))
            busy = _median(rounds[0]).server_share
            if busy > SERVER_BUSY_MAX:
                blocks.append(
                    f"The server was {busy:.0%} busy at the bare client's pace: "
                    "above 70 % it may bound what is measured."
                )
    text = page(
        "Throughput",
        f"{CONCURRENCY} requests in flight, no server delay, one worker. A row is the median of "
        "its rounds; the CPU time is that of all processes of the tool.",
        blocks,
        AIPERF_NAME if aiperf else "",
    )
    publish("throughput", text, arguments)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
