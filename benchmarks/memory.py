"""What all processes of a run hold: proportional set size (PSS), watched through the run.

    python -m benchmarks.memory [--quick] [--write] [--no-aiperf]

PSS counts a page shared by n processes as 1/n in each, so that the sum over the tree is what the
run really takes. Streams of 16 tokens, 64 in flight; each run is looked at 10 times a second from
start to the end of its report.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.contenders import (
    AIPERF_NAME,
    Aiperf,
    Load,
    install_aiperf,
    steelyard_command,
    steelyard_summary,
)
from benchmarks.processes import ToolError, build_server, pss_bytes, run_tool, serving, tree
from benchmarks.tables import page, parser, publish, table

FEW, MANY = 10_000, 200_000
TARGET_MB = {"process": 350, "inline": 120}
AIPERF_REQUESTS = 2_000


class Watch:
    """Adds up the PSS of a tree each time it is called."""

    def __init__(self) -> None:
        self.sums_mb: list[float] = []
        self.processes_max = 0

    def __call__(self, root: int) -> None:
        """Look once; what is gone by now counts nothing."""
        sizes = [size for process in tree(root) if (size := pss_bytes(process.pid))]
        self.sums_mb.append(sum(sizes) / 1e6)
        self.processes_max = max(self.processes_max, len(sizes))


def measure(command: list[str]) -> Watch:
    """Run a tool and return what its processes held."""
    watch = Watch()
    run_tool(command, timeout_s=900, watch=watch, interval_s=0.1)
    return watch


def _row(name: str, requests: int, watch: Watch, target: str) -> tuple[str, ...]:
    typical = statistics.median(watch.sums_mb)
    return (
        name, f"{requests:,}", str(watch.processes_max), f"{typical:.0f}",
        f"{max(watch.sums_mb):.0f}", target,
    )  # fmt: skip


def _ours(url: str, scratch: Path, scale: int) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the rows of our runs, and what the sizes of both lengths come to."""
    rows, notes = [], []
    for run_type, target_mb in TARGET_MB.items():
        peaks = []
        for requests in (FEW // scale, MANY // scale):
            load = Load(url, True, 16, 64, requests)
            folder = scratch / f"{run_type}-{requests}"
            watch = measure(steelyard_command(load, folder, "--run-type", run_type))
            steelyard_summary(folder, requests)
            peaks.append(max(watch.sums_mb))
            rows.append(_row(f"Steelyard, {run_type}", requests, watch, f"< {target_mb}"))
        notes.append(
            f"`{run_type}`: peak at {MANY // scale:,} requests is {peaks[1] / peaks[0]:.2f} x that "
            f"at {FEW // scale:,} (target within 0.8 to 1.2)."
        )
    return rows, notes


def _theirs(url: str, scratch: Path, aiperf: Aiperf | None, scale: int) -> list[tuple[str, ...]]:
    if aiperf is None:
        return []
    requests = AIPERF_REQUESTS // scale
    watch = measure(aiperf.command(Load(url, True, 16, 64, requests), scratch / "aiperf"))
    return [_row("AIPerf", requests, watch, "")]


def main() -> None:
    """Run each case and print the page."""
    flags = parser(__doc__)
    flags.add_argument("--no-aiperf", action="store_true", help="leave the peer out")
    arguments = flags.parse_args()
    scale = 10 if arguments.quick else 1
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        aiperf = None if arguments.no_aiperf else install_aiperf(scratch)
        with serving(build_server(scratch)) as server:
            rows, notes = _ours(server.url, scratch, scale)
            rows += _theirs(server.url, scratch, aiperf, scale)
    head = ("PSS of all processes, MB", "requests", "processes", "median", "peak", "target peak")
    text = page(
        "Memory",
        "Streams of 16 tokens, 64 in flight, one worker; MB are 10^6 bytes.",
        (table(head, rows), *notes),
        AIPERF_NAME if aiperf else "",
    )
    publish("memory", text, arguments)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
