"""What tracking costs a script, and how long the store's answers take.

    python -m benchmarks.track_store [--quick] [--write]

The cost of `log_metric` stands beside a plain write of as many bytes, in turns. The delay is that
of a script which logs 50,000 points between steps of work, with three mirrors (a file, one that is
slow, one that is dead, each in a process of its own) against the journal alone, in turns too; CPU
time is that of the script, which a busy machine does not change much. The store holds 1,000 runs of
100 metrics with ten values each.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.tables import page, parser, publish, table

from steelyard.app.track import queries
from steelyard.app.track.experiment import Experiment
from steelyard.domain.track.events import ParamsLogged, RunEnded, RunStarted
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track import index
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.writer import RunWriter

ROUND = 2_000
POINTS = 50_000
RUNS, METRICS, VALUES = 1_000, 100, 10
STEP_WORK = 4_000

BACKENDS = """
import time

from steelyard.domain.track.ports import Delivery


class Slow:
    plugin = {"kind": "backend", "name": "slow"}

    def open(self, run):
        return "slow"

    def log(self, items):
        time.sleep(0.1)
        return Delivery(min(len(items), 50))

    def flush(self):
        return None

    def close(self, end):
        return None


class Dead(Slow):
    plugin = {"kind": "backend", "name": "dead"}

    def log(self, items):
        raise ConnectionError("refused")
"""


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _cost(directory: Path, rounds: int) -> list[list[str]]:
    ours: list[float] = []
    plain: list[float] = []
    fd = os.open(directory / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with Experiment("cost", directory=directory / "cost") as experiment:
        file = experiment.directory / "journal" / "main.journal"

        def log() -> None:
            for step in range(ROUND):
                experiment.log_metric("loss", 0.125, step)

        before = file.stat().st_size
        log()
        data = bytes((file.stat().st_size - before) // ROUND)

        def write() -> None:
            for _ in range(ROUND):
                os.write(fd, data)

        for _ in range(rounds):
            ours.append(_seconds(log) / ROUND * 1e6)
            plain.append(_seconds(write) / ROUND * 1e6)
    os.close(fd)
    mine, bare = statistics.median(ours), statistics.median(plain)
    return [[f"{len(data)}", f"{mine:.1f}", f"{bare:.1f}", f"{mine / bare:.1f}"]]


def _script(directory: Path, points: int, backend: object) -> tuple[float, float, Experiment]:
    """Return seconds and CPU seconds from a script's first step to its last, and its run."""
    experiment = Experiment("script", backend=backend, directory=directory).start()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    for step in range(points):
        sum(range(STEP_WORK))
        experiment.log_metric("loss", 0.125, step)
    return time.perf_counter() - begun, time.process_time() - begun_cpu, experiment


def _delay(directory: Path, points: int, rounds: int) -> list[list[str]]:
    plugins = directory / "plugins"
    plugins.mkdir()
    (plugins / "mirrors.py").write_text(BACKENDS)
    os.environ["STEELYARD_PLUGIN_DIRS"] = str(plugins)
    mirrors = {"jsonl": {"directory": str(directory / "mirror")}, "slow": {}, "dead": {}}
    arms: dict[str, list[tuple[float, float]]] = {"journal alone": [], "three mirrors": []}
    had = ""
    for number in range(rounds):
        for arm, backend in zip(arms, ("local", mirrors), strict=True):
            wall, cpu, experiment = _script(directory / f"{arm}{number}", points, backend)
            experiment.stop(flush_timeout_s=2.0)
            arms[arm].append((wall, cpu))
            places = experiment.mirrors().items()
            had = ", ".join(f"{label} {place.delivered:,}" for label, place in places)
    medians = {
        arm: [statistics.median(column) for column in zip(*values, strict=True)]
        for arm, values in arms.items()
    }
    (wall, cpu), (wall_with, cpu_with) = medians.values()
    rows = [[arm, f"{w:.2f}", f"{c:.2f}", ""] for arm, (w, c) in medians.items()]
    rows[1][3] = had
    more = [f"{(b / a - 1) * 100:+.2f} %" for a, b in ((wall, wall_with), (cpu, cpu_with))]
    return [*rows, ["more", *more, ""]]


def _fill(store: Store, runs: int) -> None:
    for number in range(runs):
        run_id = f"run-{number:05d}"
        writer = RunWriter(store.place(run_id), run_id, SystemClock(), fsync="never")
        writer.write(
            RunStarted(name=f"tune-{number % 7}", project="bench", tags={"n": str(number)})
        )
        writer.write(ParamsLogged({f"p{i}": i * number for i in range(20)}))
        for step in range(VALUES):
            writer.metrics(step, {f"m{i}": i + number / (step + 1) for i in range(METRICS)})
        writer.write(RunEnded(status="finished"))
        writer.close()


def _answers(directory: Path, runs: int) -> list[list[str]]:
    store = Store(directory / "store")
    _fill(store, runs)
    root = store.root
    rows = {
        "rebuild the index": _seconds(lambda: index.refresh(store, anew=True)),
        "list all": _seconds(lambda: queries.runs(directory=root)),
        "compare two": _seconds(
            lambda: queries.diff("run-00001", f"run-{runs - 1:05d}", directory=root)
        ),
        "show one": _seconds(lambda: queries.show("run-00001", directory=root)),
    }
    return [[name, f"{seconds:.2f}"] for name, seconds in rows.items()]


def main() -> None:
    """Measure, print, and keep the page where asked."""
    asked = parser(__doc__).parse_args()
    share = 10 if asked.quick else 1
    # Mirrors that are not done outlive their script for a while, and write where they are.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory = Path(name)
        cost = _cost(directory, 50 // share)
        delay = _delay(directory, POINTS // share, 3 if share == 1 else 1)
        answers = _answers(directory, RUNS // share)
    text = page(
        "Tracking",
        "What a script pays for being tracked, and how long its runs' store takes to answer.",
        [
            table(["bytes", "log_metric, µs", "plain write, µs", "ratio"], cost),
            table([f"{POINTS // share:,} points", "s", "CPU s", "had at the end"], delay),
            table([f"{RUNS // share:,} runs, {METRICS} metrics, {VALUES} values", "s"], answers),
        ],
    )
    publish("track_store", text, asked)


if __name__ == "__main__":
    main()
