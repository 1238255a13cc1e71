"""What tracking costs a script, and how long the store's answers take.

    python -m benchmarks.track_store [--quick] [--write]

The cost of `log_metric` stands beside a plain write of as many bytes, in turns. The store holds
1,000 runs of 100 metrics with ten values each. What mirrors cost: `benchmarks.track_isolation`.
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
RUNS, METRICS, VALUES = 1_000, 100, 10


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
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        cost = _cost(directory, 50 // share)
        answers = _answers(directory, RUNS // share)
    text = page(
        "Tracking",
        "What a script pays for being tracked, and how long its runs' store takes to answer.",
        [
            table(["bytes", "log_metric, µs", "plain write, µs", "ratio"], cost),
            table([f"{RUNS // share:,} runs, {METRICS} metrics, {VALUES} values", "s"], answers),
        ],
    )
    publish("track_store", text, asked)


if __name__ == "__main__":
    main()
