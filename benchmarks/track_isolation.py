"""What mirrors cost a script, and what each has of a run when one is slow and one is dead.

    python -m benchmarks.track_isolation [--quick] [--write]

A script logs 50,000 points between steps of work, to the journal alone and with three mirrors (a
fast one, one that takes 50 points in 0.1 s, one that refuses every connection), in turns. A pair of
runs that follow each other gives one ratio, so that what a busy machine does to both drops out.
What can delay a script is a call that takes longer and a processor that is taken: the time in its
calls, and the kernel's count of how long its thread waited for a processor, are shares of its wall
time that no change of the processor's own pace touches. A third run has a stranger beside it that
computes as much as the mirrors and touches nothing of the script's: what two busy processors of
this host take from each other, whoever keeps them busy.
Then the slow and the dead one are as fast as any, and `track sync` delivers the rest.
"""

import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import psutil
from benchmarks.processes import stranger
from benchmarks.tables import page, parser, publish, table

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.syncing import sync

POINTS = 50_000
ROUNDS = 15
STEP_WORK = 4_000
FAST_MAX_S = 20.0
LABELS = ("fast", "slow", "dead")

MIRRORS = Path(__file__).parents[1] / "tests" / "support" / "mirrors"
"""The directory of the plugin with the three; the tests use it too."""


class Arm(msgspec.Struct):
    """One run of the script.

    Attributes:
        wall_s, cpu_s: from the script's first step to its last.
        waited, in_calls: shares of the wall time: ready without a processor, and in `log_metric`.
        mirrors_cpu_s: what the mirrors had used when all of them had ended, or were left.
        fast_s: from the last step until the fast mirror had all; NaN where it had not.
        delivered: by label, when the script had ended.
    """

    wall_s: float
    cpu_s: float
    waited: float
    in_calls: float
    run_id: str
    mirrors_cpu_s: float = 0.0
    fast_s: float = float("nan")
    delivered: dict[str, int] = {}


def _script(directory: Path, points: int, backend: object) -> tuple[Experiment, Arm]:
    experiment = Experiment("script", backend=backend, directory=directory / "store").start()
    clock, in_calls = time.perf_counter, 0.0
    begun, begun_cpu, waited = clock(), time.process_time(), _waited_s()
    for step in range(points):
        sum(range(STEP_WORK))
        before = clock()
        experiment.log_metric("loss", 0.125, step)
        in_calls += clock() - before
    wall, cpu = clock() - begun, time.process_time() - begun_cpu
    waited = _waited_s() - waited
    return experiment, Arm(wall, cpu, waited / wall, in_calls / wall, experiment.run_id)


def _waited_s() -> float:
    """Return how long this thread was ready to run and had no processor."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


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


def _beside_stranger(directory: Path, points: int, share: float) -> Arm:
    with stranger(share):
        return _alone(directory, points)


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


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.2f} %"


def _interval(ratios: list[float]) -> str:
    """Return where the median lies with 95 % confidence: order statistics, of no distribution."""
    ordered = sorted(ratios)
    below = max(0, math.floor((len(ordered) - 1.96 * math.sqrt(len(ordered))) / 2))
    return f"{_percent(ordered[below])} to {_percent(ordered[-1 - below])}"


def _delays(rounds: list[tuple[Arm, Arm, Arm]]) -> list[list[str]]:
    rows = []
    for what, field in (("wall time, s", "wall_s"), ("CPU time, s", "cpu_s")):
        seconds = [[float(getattr(arm, field)) for arm in arms] for arms in rounds]
        mirrored = [run[1] / run[0] for run in seconds]
        beside = [run[2] / run[0] for run in seconds]
        rows.append([
            what, f"{statistics.median(run[0] for run in seconds):.2f}",
            _percent(statistics.median(mirrored)), _interval(mirrored),
            _percent(statistics.median(beside)), _interval(beside),
        ])  # fmt: skip
    return rows


def _shares(rounds: list[tuple[Arm, Arm, Arm]]) -> list[list[str]]:
    """Each by itself: calls that were quicker by chance make up for no waiting."""
    rows = []
    for what, field in (("waiting for a processor", "waited"), ("in `log_metric`", "in_calls")):
        arms = [sorted(float(getattr(arms[way], field)) for arms in rounds) for way in range(3)]
        rows.append([what, *(f"{statistics.median(a):.2%} (to {a[-1]:.2%})" for a in arms)])
    return rows


def _tables(directory: Path, points: int, rounds: int) -> list[str]:
    arms = []
    busy = 0.5
    for number in range(rounds):
        # Which comes first changes too: a machine that gets busier favours none.
        todo = (
            partial(_alone, directory, points),
            partial(_mirrored, directory, points),
            partial(_beside_stranger, directory, points, busy),
        )
        order = [(number + place) % len(todo) for place in range(len(todo))]
        done = {which: todo[which]() for which in order}
        busy = min(1.0, done[1].mirrors_cpu_s / done[1].wall_s)
        arms.append((done[0], done[1], done[2]))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    mirrored = [each[1] for each in arms]
    mirrors = [
        [what, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"]
        for what, seconds in (
            ("the fast one has all, s after the last point", [arm.fast_s for arm in mirrored]),
            (
                "CPU of all three, the process that forks them included, s",
                [arm.mirrors_cpu_s for arm in mirrored],
            ),
        )
    ]
    head = ["mirror", "at the script's end", "after sync", "sent again", "dropped", "sync, s",
            "whole and in order"]  # fmt: skip
    delay = [f"{points:,} points, {rounds} rounds", "journal alone", "more with mirrors",
             "95 % of the median", "more beside a stranger", "95 % of the median"]  # fmt: skip
    share = ["share of the script's wall time, median (to the largest)", "journal alone",
             "with mirrors", "beside a stranger"]  # fmt: skip
    return [
        table(share, _shares(arms)),
        table(delay, _delays(arms)),
        table(["three mirrors", "median", "largest"], mirrors),
        table(head, _caught_up(directory, mirrored[-1], points)),
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
