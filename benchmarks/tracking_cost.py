"""What tracking a benchmark costs its load: CPU time of a request, with and without `--track`.

    python -m benchmarks.tracking_cost [--quick] [--write]

A closed loop of 64 requests without server delay, one worker, in turns without a tracker, with the
store alone (`--track local`), mirrored to files (`--track jsonl`), and not tracked beside a
stranger that keeps a processor as busy as tracking does. The hot path is the worker,
or with `--run-type inline` the one process that has all roles; what else runs is named beside it.
CPU time is the kernel's, read every 50 ms until a process is gone, so that of some seconds the last
50 ms may be missing. What a run that is tracked loads before it begins is in the other roles, and
of an inline run in its one process: some 0.1 s, however many requests there are.
"""

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psutil
from benchmarks.contenders import Load, steelyard_command, steelyard_summary
from benchmarks.processes import build_server, run_tool, serving, stranger, tree
from benchmarks.tables import page, parser, publish, table

REQUESTS = 60_000
ROUNDS = 5
INTERVAL_S = 0.05
BESIDE = "beside a stranger"
WAYS = {
    "not tracked": (), BESIDE: (), "--track local": ("local",), "--track jsonl": ("jsonl",),
}  # fmt: skip
STRANGER_SHARE = 0.12
"""Of a processor: what tracking takes at some 12,000 requests/s, 10 us a request."""
HOT, CONTROL, OTHERS, TRACKING = "worker", "controller", "other roles", "tracking"

Used = dict[str, float]
"""CPU microseconds a request, by part."""


def part_of(title: str) -> str:
    """Return which part of a run a process of this title is."""
    words = title.split()
    if words[:1] == ["steelyard"] and len(words) > 1:
        role = words[1].rpartition("_")[0]
        if role == "worker":
            return HOT
        if words[1] == "tracking":
            return TRACKING
        return CONTROL if role == "system_controller" else OTHERS
    beside = ("track.sidecar", "track sync", "bench_tracking")
    return TRACKING if any(word in title for word in beside) else CONTROL


def watcher(seen: dict[int, tuple[str, float]]) -> Callable[[int], None]:
    """Return what notes the CPU time of all processes below one, by their titles."""

    def look(pid: int) -> None:
        for process in tree(pid):
            try:
                times = process.cpu_times()
                title = " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if title:
                seen[process.pid] = (part_of(title), times.user + times.system)

    return look


def one_run(load: Load, directory: Path, run_type: str, backends: tuple[str, ...]) -> Used:
    """Run once; return what each part used."""
    flags = ["--run-type", run_type, "--exporters", "json"]
    if backends:
        flags += ["--track", ",".join(backends), "--track-dir", str(directory / "store")]
        config = directory / "plan.yaml"
        config.write_text(f"track: {{options: {{jsonl: {{directory: {directory / 'mirror'}}}}}}}\n")
        flags += ["--config", str(config)] if "jsonl" in backends else []
    seen: dict[int, tuple[str, float]] = {}
    command = steelyard_command(load, directory / "run", *flags)
    run_tool(command, timeout_s=300, watch=watcher(seen), interval_s=INTERVAL_S)
    steelyard_summary(directory / "run", load.requests)
    used: Used = defaultdict(float)
    for part, seconds in seen.values():
        used[part] += seconds * 1e6 / load.requests
    return used


def measure(url: str, run_type: str, requests: int, rounds: int) -> dict[str, list[Used]]:
    """Return what each way used, round by round; the ways take turns."""
    load = Load(url, streaming=False, tokens=1, concurrency=64, requests=requests)
    found: dict[str, list[Used]] = {way: [] for way in WAYS}
    ways = list(WAYS)
    for number in range(rounds):
        first = number % len(ways)
        for way in ways[first:] + ways[:first]:
            beside = stranger(STRANGER_SHARE) if way == BESIDE else nullcontext()
            with tempfile.TemporaryDirectory() as folder, beside:
                backends = WAYS[way]
                found[way].append(one_run(load, Path(folder), run_type, backends))
    return found


def rows_of(found: dict[str, list[Used]], hot: str) -> list[list[str]]:
    """Return a row a way: medians, and the hot path against the first way of the same round."""
    rows = []
    plain = next(iter(found.values()))
    for way, rounds in found.items():
        ratios = [one[hot] / base[hot] for one, base in zip(rounds, plain, strict=True)]
        parts = [statistics.median(one[part] for one in rounds) for part in (hot, TRACKING)]
        rest = statistics.median(
            sum(v for part, v in one.items() if part not in {hot, TRACKING}) for one in rounds
        )
        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        rows.append([way, f"{parts[0]:.1f}", spread, f"{rest:.1f}", f"{parts[1]:.1f}"])
    return rows


def main() -> None:
    """Measure, print, and keep the page when asked."""
    asked = parser(__doc__).parse_args()
    requests, rounds = (REQUESTS // 10, 2) if asked.quick else (REQUESTS, ROUNDS)
    blocks = []
    with tempfile.TemporaryDirectory() as folder, serving(build_server(Path(folder))) as server:
        for run_type, hot in (("process", HOT), ("inline", CONTROL)):
            found = measure(server.url, run_type, requests, rounds)
            name = "worker" if hot == HOT else "the one process"
            head = [f"`--run-type {run_type}`", f"{name}, us", "of not tracked", "other roles, us",
                    "tracking, us"]  # fmt: skip
            blocks.append(table(head, rows_of(found, hot)))
    claim = (
        f"CPU time of a request in microseconds, median of {rounds} rounds of {requests:,} "
        "requests; in brackets the smallest and largest ratio of a round."
    )
    publish("tracking_cost", page("What tracking costs a load", claim, blocks), asked)


if __name__ == "__main__":
    main()
