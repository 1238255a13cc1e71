"""How far reported latencies are from the truth, request by request.

    python -m benchmarks.accuracy [--quick] [--write] [--no-aiperf]

The server logs when the kernel received each request and when each content chunk was written. Per
X-Request-ID, the true TTFT is first write less receipt, the true ITL the mean gap between writes,
the true first gap that of the first two chunks; what a tool reports is held against it. The
loopback's own transit, both ways, counts as the tool's error.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
from benchmarks.contenders import (
    AIPERF_NAME,
    Aiperf,
    Load,
    install_aiperf,
    steelyard_command,
    steelyard_summary,
)
from benchmarks.processes import ToolError, build_server, run_tool, serving
from benchmarks.tables import page, parser, percentile, publish, table

MEASURES = ("TTFT", "ITL", "first gap")
Values = tuple[float | None, float | None, float | None]
"""TTFT, ITL and first gap of one request in ms; None where there is none."""


@dataclass(frozen=True)
class Case:
    """One kind of load, with the targets of its 99th percentiles in ms."""

    name: str
    server: tuple[str, ...]
    concurrency: int
    tokens: int
    ours: int
    aiperf: int
    targets: dict[str, float]


CASES = (
    Case("saturated: 64 streams of 128, no delay", (), 64, 128, 20_000, 2_000, {"TTFT": 1.0}),
    Case(
        "500 streams: TTFT 200 ms, ITL 20 ms",
        ("--ttft-ms", "200", "--itl-ms", "20"),
        500, 64, 5_000, 2_500,
        {"TTFT": 0.3, "ITL": 0.05},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """The server's times of one request, CLOCK_MONOTONIC ns, and what they come to."""

    received_ns: int
    first_ns: int
    values: Values


def read_truth(path: Path) -> dict[str, Truth]:
    """Return the truth by request id."""
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            received, first, second, last, chunks = (
                int(row[name])
                for name in (
                    "received_ns", "first_send_ns", "second_send_ns", "last_send_ns", "chunks",
                )
            )  # fmt: skip
            paced = last > first
            values = (
                (first - received) / 1e6,
                (last - first) / 1e6 / (chunks - 1) if paced else None,
                (second - first) / 1e6 if paced else None,
            )
            found[row["x_request_id"]] = Truth(received, first, values)
    return found


_OURS = """
select x_request_id, (first_token_ns - start_ns) / 1e6,
    (last_token_ns - first_token_ns) / 1e6 / nullif(output_tokens - first_chunk_tokens, 0),
    (second_token_ns - first_token_ns) / 1e6, start_ns, first_token_ns
from read_parquet(?) where error_kind = 'none'
"""


def read_ours(directory: Path) -> dict[str, Values]:
    """Return what Steelyard reported, by request id."""
    path = str(directory / "profile_export.parquet")
    return {row[0]: (row[1], row[2], row[3]) for row in duckdb.execute(_OURS, [path]).fetchall()}


def read_paths(directory: Path, truth: dict[str, Truth]) -> list[tuple[float, float]]:
    """Return, in ms, each request's way to the server and its first content's way back."""
    path = str(directory / "profile_export.parquet")
    return [
        ((truth[row[0]].received_ns - row[4]) / 1e6, (row[5] - truth[row[0]].first_ns) / 1e6)
        for row in duckdb.execute(_OURS, [path]).fetchall()
        if row[0] in truth and row[5] is not None
    ]


def read_aiperf(directory: Path) -> dict[str, Values]:
    """Return what AIPerf reported, by request id."""
    found: dict[str, Values] = {}
    names = ("time_to_first_token", "inter_token_latency", "time_to_second_token")
    with (directory / "profile_export.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            values = [row["metrics"].get(name, {}).get("value") for name in names]
            found[row["metadata"]["x_request_id"]] = (values[0], values[1], values[2])
    return found


def rows(
    tool: str, case: Case, truth: dict[str, Truth], reported: dict[str, Values]
) -> Iterable[tuple[str, ...]]:
    """Yield one line per measure: true and reported percentiles, and the error's."""
    for place, measure in enumerate(MEASURES):
        pairs = [
            (true, said)
            for key, values in reported.items()
            if key in truth
            and (true := truth[key].values[place]) is not None
            and (said := values[place]) is not None
        ]
        if not pairs:
            continue
        trues, saids = sorted(true for true, _ in pairs), sorted(said for _, said in pairs)
        errors = sorted(abs(said - true) for true, said in pairs)
        target = case.targets.get(measure)
        yield (
            f"{tool}, {measure}", f"{len(pairs):,}",
            f"{percentile(trues, 0.5):.3f}", f"{percentile(saids, 0.5):.3f}",
            f"{percentile(trues, 0.99):.3f}", f"{percentile(saids, 0.99):.3f}",
            *(f"{percentile(errors, share):.4f}" for share in (0.5, 0.99, 0.999, 1.0)),
            f"<= {target:g}" if target is not None and tool == "Steelyard" else "",
        )  # fmt: skip


def measure(
    program: Path,
    case: Case,
    command: Callable[[Load, Path], list[str]],
    requests: int,
    directory: Path,
) -> tuple[dict[str, Truth], float]:
    """Run a tool against a server of its own; return the truth and the server's CPU share."""
    log = directory.with_suffix(".csv")
    with serving(program, "--truth", str(log), *case.server) as server:
        load = Load(server.url, True, case.tokens, case.concurrency, requests)
        run = run_tool(command(load, directory), timeout_s=600)
        busy = server.cpu_s() / run.wall_s
    return read_truth(log), busy


def ways(case: Case, paths: list[tuple[float, float]]) -> str:
    """Return where Steelyard's TTFT error comes from: the way there, and the way back."""
    names = ("our stamp to the server's receipt", "the server's write to our stamp")
    lines = []
    for place, name in enumerate(names):
        ordered = sorted(path[place] for path in paths)
        shares = (0.5, 0.99, 0.999, 1.0)
        lines.append((name, *(f"{percentile(ordered, share):.4f}" for share in shares)))
    return table((f"{case.name}, ms", "p50", "p99", "p99.9", "max"), lines)


def main() -> None:
    """Run both cases and print the page."""
    flags = parser(__doc__)
    flags.add_argument("--no-aiperf", action="store_true", help="leave the peer out")
    arguments = flags.parse_args()
    scale = 10 if arguments.quick else 1
    blocks = []
    with tempfile.TemporaryDirectory() as scratch:
        aiperf = None if arguments.no_aiperf else install_aiperf(Path(scratch))
        program = build_server(Path(scratch))
        for number, case in enumerate(CASES):
            folder = Path(scratch) / f"ours-{number}"
            truth, busy = measure(program, case, steelyard_command, case.ours // scale, folder)
            steelyard_summary(folder, case.ours // scale)
            lines = list(rows("Steelyard", case, truth, read_ours(folder)))
            found = ways(case, read_paths(folder, truth))
            lines += _peer(program, case, aiperf, case.aiperf // scale, Path(scratch), number)
            head = (
                f"{case.name}, ms", "requests", "true p50", "reported p50", "true p99",
                "reported p99", "error p50", "p99", "p99.9", "max", "target p99",
            )  # fmt: skip
            blocks += [table(head, lines), found, f"Server {busy:.0%} busy over the whole run."]
    text = page(
        "Accuracy",
        "Error is |reported - true| of each request, by X-Request-ID; one worker.",
        blocks,
        AIPERF_NAME if aiperf else "",
    )
    publish("accuracy", text, arguments)


def _peer(
    program: Path, case: Case, aiperf: Aiperf | None, requests: int, scratch: Path, number: int
) -> list[tuple[str, ...]]:
    if aiperf is None:
        return []
    folder = scratch / f"aiperf-{number}"
    truth, _ = measure(program, case, aiperf.command, requests, folder)
    return list(rows("AIPerf", case, truth, read_aiperf(folder)))


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
