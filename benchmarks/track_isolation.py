"""What mirrors cost a script, and what each has of a run when one is slow and one is dead.

    python -m benchmarks.track_isolation [--quick] [--write]

A script logs 50,000 points between steps of work, to the journal alone and with three mirrors (a
fast one, one that takes 50 points in 0.1 s, one that refuses every connection), in turns. A pair of
runs that follow each other gives one ratio, so that what a busy machine does to both drops out.
Then the slow and the dead one are as fast as any, and `track sync` delivers the rest.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
from benchmarks.tables import page, parser, publish, table

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.syncing import sync

POINTS = 50_000
ROUNDS = 9
STEP_WORK = 4_000
FAST_MAX_S = 20.0
LABELS = ("fast", "slow", "dead")

MIRRORS = Path(__file__).parents[1] / "tests" / "support" / "mirrors"
"""The directory of the plugin with the three; the tests use it too."""


class Arm(msgspec.Struct):
    """One run of the script.

    Attributes:
        wall_s, cpu_s: from the script's first step to its last.
        mirrors_cpu_s: what the mirrors had used when all of them had ended, or were left.
        fast_s: from the last step until the fast mirror had all; NaN where it had not.
        delivered: by label, when the script had ended.
    """

    wall_s: float
    cpu_s: float
    run_id: str
    mirrors_cpu_s: float = 0.0
    fast_s: float = float("nan")
    delivered: dict[str, int] = {}


def _script(directory: Path, points: int, backend: object) -> tuple[Experiment, Arm]:
    experiment = Experiment("script", backend=backend, directory=directory / "store").start()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    for step in range(points):
        sum(range(STEP_WORK))
        experiment.log_metric("loss", 0.125, step)
    wall, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    return experiment, Arm(wall, cpu, experiment.run_id)


def _until(condition: Callable[[], bool], within_s: float) -> float:
    """Return how long it took; NaN when it never came."""
    begun = time.perf_counter()
    while (waited := time.perf_counter() - begun) < within_s:
        if condition():
            return waited
        time.sleep(0.01)
    return float("nan")


def _alone(directory: Path, points: int) -> Arm:
    experiment, arm = _script(directory, points, "local")
    experiment.stop()
    return arm


def _mirrored(directory: Path, points: int) -> Arm:
    experiment, arm = _script(directory, points, list(LABELS))
    arm.fast_s = _until(
        lambda: experiment.mirrors()["fast"].delivered >= points, within_s=FAST_MAX_S
    )
    experiment.stop(flush_timeout_s=2.0)
    arm.delivered = {label: place.delivered for label, place in experiment.mirrors().items()}
    arm.mirrors_cpu_s = _end_mirrors()
    return arm


def _end_mirrors() -> float:
    """End all mirrors at once, as a machine that goes down would; return the CPU they used."""
    used_s = 0.0
    for sidecar in psutil.Process().children():
        for process in (*sidecar.children(recursive=True), sidecar):
            times = process.cpu_times()
            used_s += times.user + times.system + times.children_user + times.children_system
        sidecar.terminate()
        sidecar.wait()
    return used_s


def _caught_up(directory: Path, arm: Arm, points: int) -> list[list[str]]:
    """Have all mirrors of a run catch up; return what each has, and whether it is whole."""
    (directory / "recovered").touch()
    run = directory / "store" / "runs" / arm.run_id
    rows = []
    for label in LABELS:
        begun = time.perf_counter()
        (synced,) = sync(str(run), label)
        seconds = time.perf_counter() - begun
        steps = (directory / f"{arm.run_id}-{label}").read_text().split()
        whole = [int(step) for step in steps] == list(range(points))
        place = synced.place
        rows.append(
            [
                label, f"{arm.delivered[label]:,}", f"{place.delivered:,}", f"{place.retried:,}",
                f"{place.dropped}", f"{seconds:.2f}", "yes" if whole else "no",
            ]
        )  # fmt: skip
    return rows


def _percent(ratios: list[float]) -> str:
    return f"{(statistics.median(ratios) - 1) * 100:+.2f} %"


def _spread(ratios: list[float]) -> str:
    low, high = min(ratios), max(ratios)
    return f"{(low - 1) * 100:+.2f} to {(high - 1) * 100:+.2f} %"


def _tables(directory: Path, points: int, rounds: int) -> list[str]:
    pairs = []
    for number in range(rounds):
        # Which comes first changes too: a machine that gets busier favours neither.
        if number % 2:
            mirrored = _mirrored(directory, points)
            pairs.append((_alone(directory, points), mirrored))
        else:
            pairs.append((_alone(directory, points), _mirrored(directory, points)))
        print(f"pair {number + 1} of {rounds}", file=sys.stderr, flush=True)
    walls = [mirrored.wall_s / alone.wall_s for alone, mirrored in pairs]
    cpus = [mirrored.cpu_s / alone.cpu_s for alone, mirrored in pairs]
    last = pairs[-1][1]
    fast = [mirrored.fast_s for _, mirrored in pairs]
    delay = [
        ["wall time", f"{pairs[-1][0].wall_s:.2f}", _percent(walls), _spread(walls)],
        ["CPU time", f"{pairs[-1][0].cpu_s:.2f}", _percent(cpus), _spread(cpus)],
    ]
    used = [mirrored.mirrors_cpu_s for _, mirrored in pairs]
    mirrors = [
        [what, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
        for what, seconds in (
            ("the fast one has all, s after the last point", fast),
            ("CPU of all three, the process that forks them included, s", used),
        )
    ]
    head = ["mirror", "at the script's end", "after sync", "sent again", "dropped", "sync, s",
            "whole and in order"]  # fmt: skip
    return [
        table([f"{points:,} points", "journal alone, s", "more with mirrors", "all pairs"], delay),
        table(["three mirrors", "median", "largest"], mirrors),
        table(head, _caught_up(directory, last, points)),
    ]


def main() -> None:
    """Measure, print, and keep the page where asked."""
    asked = parser(__doc__).parse_args()
    share = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory = Path(name)
        os.environ["STEELYARD_PLUGIN_DIRS"] = str(MIRRORS)
        os.environ["MIRRORS_DIRECTORY"] = str(directory)
        blocks = _tables(directory, POINTS // share, ROUNDS if share == 1 else 3)
    text = page(
        "Mirrors beside a script",
        "What three mirrors cost a script, one of them slow and one dead, and what each has.",
        blocks,
    )
    publish("track_isolation", text, asked)


if __name__ == "__main__":
    main()
