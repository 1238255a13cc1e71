"""How long it takes from the start of the process to the first request that the server receives.

    python -m benchmarks.startup [--quick] [--write] [--no-aiperf]

The end is the kernel's receive stamp in the server's truth log, the begin a moment before the
tool's process is made, both CLOCK_MONOTONIC. Files are in the page cache: a first run is thrown
away.
"""

import csv
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import AIPERF_NAME, Load, install_aiperf, steelyard_command
from benchmarks.processes import ToolError, build_server, run_tool, serving
from benchmarks.tables import page, parser, publish, table

REQUESTS = 10
ROUNDS = 9
AIPERF_ROUNDS = 3
TARGET_S = {"inline": 0.7, "process": 1.5}


def seconds_to_first(
    program: Path, command: Callable[[Load, Path], list[str]], directory: Path
) -> float:
    """Run a tool once against a server of its own."""
    log = directory / "truth.csv"
    with serving(program, "--truth", str(log)) as server:
        load = Load(server.url, False, 1, 1, REQUESTS)
        run = run_tool(command(load, directory / "run"), timeout_s=180)
    with log.open(encoding="utf-8", newline="") as file:
        first_ns = min(int(row["received_ns"]) for row in csv.DictReader(file))
    return (first_ns - run.begun_ns) / 1e9


def measure(program: Path, command: Callable[[Load, Path], list[str]], rounds: int) -> list[float]:
    """Return the seconds of `rounds` runs, after one that isn't counted."""
    found = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as directory:
            found.append(seconds_to_first(program, command, Path(directory)))
    return found[1:]


def _ours(run_type: str) -> Callable[[Load, Path], list[str]]:
    def command(load: Load, directory: Path) -> list[str]:
        return steelyard_command(load, directory, "--run-type", run_type)

    return command


def _row(name: str, found: list[float], target: str) -> tuple[str, ...]:
    middle = statistics.median(found)
    return (
        name,
        str(len(found)),
        f"{min(found):.2f}",
        f"{middle:.2f}",
        f"{max(found):.2f}",
        target,
    )


def main() -> None:
    """Run each case and print the page."""
    flags = parser(__doc__)
    flags.add_argument("--no-aiperf", action="store_true", help="leave the peer out")
    arguments = flags.parse_args()
    rounds = 2 if arguments.quick else ROUNDS
    with tempfile.TemporaryDirectory() as scratch:
        aiperf = None if arguments.no_aiperf else install_aiperf(Path(scratch))
        program = build_server(Path(scratch))
        rows = [
            _row(f"Steelyard, {run_type}", measure(program, _ours(run_type), rounds),
                 f"< {target_s:g}")
            for run_type, target_s in TARGET_S.items()
        ]  # fmt: skip
        if aiperf is not None:
            theirs = measure(program, aiperf.command, min(rounds, AIPERF_ROUNDS))
            rows.append(_row("AIPerf", theirs, ""))
    head = ("to the first request, s", "runs", "min", "median", "max", "target median")
    text = page(
        "Start-up",
        "From the start of the process to the first request received by the server.",
        (table(head, rows),),
        AIPERF_NAME if aiperf else "",
    )
    publish("startup", text, arguments)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
