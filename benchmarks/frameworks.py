"""What a hooked framework pays for a call, with a run and without.

    python -m benchmarks.frameworks [--quick] [--write]

A method that does nothing is called as it is, hooked where no run wants to hear it, hooked with a
hook that does nothing, and hooked with one that logs a value. What logging costs by itself stands
beside. All arms take turns; a time is that of an arm's fastest round, which a busy machine changes
least. Last come real ones: tensorboardX's and PyTorch's `add_scalar` and an optimizer's step.
"""

import importlib
import tempfile
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.tables import page, parser, publish, table

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.patching import prepare
from steelyard.domain.track.ports import Sink
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.track.patches import PatchSet
from steelyard.testing.contracts.framework import RecordingSink

CALLS = 2_000
ROUNDS = 40
Arms = dict[str, Callable[[int], object]]


def _writer() -> Any:
    class Writer:
        def add(self, name: str, value: float, step: int) -> None:
            """Do nothing."""

    return Writer


def _fastest(arms: Arms, calls: int, rounds: int) -> dict[str, float]:
    """Return microseconds of a call, by arm."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, call in arms.items():
            begun = time.perf_counter()
            for step in range(calls):
                call(step)
            taken[name].append((time.perf_counter() - begun) / calls * 1e6)
    return {name: min(values) for name, values in taken.items()}


def _hooked(sink: Sink | None, after: Callable[..., None]) -> Any:
    """Return a writer that is watched for a sink; None for no run."""
    writer = _writer()
    failures: list[SteelyardError] = []
    patches = PatchSet("toy", lambda: sink, failures.append)
    patches.watch(writer, "add", after=after, mutes=frozenset({"*"}))
    return writer()


def _nothing(*_args: Any) -> None:
    return None


class _Toy:
    modules = ("benchmark_toy",)

    def install(self, module: Any, patches: Any) -> None:
        patches.watch(module.Writer, "add", after=_logs, mutes=frozenset({"*"}))


def _logs(sink: Sink, _result: Any, _writer: Any, name: str, value: float, step: int) -> None:
    sink.log_metrics({name: value}, step)


def _toy_in_a_run(experiment: Experiment) -> Any:
    """Return a writer of a module that the run is told of, by the way of every framework."""
    import sys

    from steelyard.runtime.plugin_host import PluginHost

    module = types.ModuleType("benchmark_toy")
    module.Writer = _writer()  # type: ignore[attr-defined]  # it is ours
    sys.modules["benchmark_toy"] = module
    host = PluginHost()
    host.register("framework", "toy", _Toy)
    attach = prepare(["toy"], host=host)
    if attach is not None:
        attach(experiment)
    return module.Writer()


def _calls(directory: Path, calls: int, rounds: int) -> list[list[str]]:
    with Experiment("asks", directory=directory) as asks:
        told = _toy_in_a_run(asks)
        with Experiment("deaf", directory=directory) as deaf:
            plain, unheard, seen = _writer()(), told, _hooked(RecordingSink({}), _nothing)
            arms: Arms = {
                "as it is": lambda step: plain.add("loss", 0.5, step),
                "hooked, no run wants it": lambda step: unheard.add("loss", 0.5, step),
                "hooked, a hook that does nothing": lambda step: seen.add("loss", 0.5, step),
                "`log_metrics` by hand": lambda step: deaf.log_metrics({"loss": 0.5}, step),
            }
            found = _fastest(arms, calls, rounds)
        hooked: Arms = {
            "hooked, logs": lambda step: told.add("loss", 0.5, step),
            "`log_metrics` by hand, again": lambda step: asks.log_metrics({"by hand": 0.5}, step),
        }
        found |= _fastest(hooked, calls, rounds)
    base = found["as it is"]
    by_hand = found["`log_metrics` by hand, again"]
    rows = [[name, f"{us:.2f}", f"{us - base:.2f}", ""] for name, us in found.items()]
    rows[4][3] = f"{found['hooked, logs'] - by_hand:.2f}"
    return rows


def _libraries(directory: Path, calls: int, rounds: int) -> list[list[str]]:
    """Return rows of real calls: alone and with a run."""
    real: Arms = {}
    for name, module in {
        "tensorboardX": "tensorboardX",
        "torch": "torch.utils.tensorboard",
    }.items():
        writer = importlib.import_module(module).SummaryWriter(str(directory / name))
        real[f"`add_scalar` of {name}"] = partial(_add, writer)
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    parameter = torch.nn.Parameter(torch.ones(8))
    parameter.grad = torch.ones(8)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    real["`step` of torch's SGD, 8 weights"] = lambda _: optimizer.step()
    found: dict[str, dict[str, float]] = {"alone": {}, "with a run": {}}
    for _ in range(3):
        for arm, values in found.items():
            with Experiment(arm, directory=directory, automagic=arm == "with a run"):
                for name, us in _fastest(real, calls, rounds).items():
                    values[name] = min(us, values.get(name, us))
    return [
        [name, f"{us:.1f}", f"{found['with a run'][name]:.1f}",
         f"{found['with a run'][name] / us:.2f}"]
        for name, us in found["alone"].items()
    ]  # fmt: skip


def _add(writer: Any, step: int) -> None:
    writer.add_scalar("loss", 0.5, step)


def main() -> None:
    """Measure, print, and keep the page where asked."""
    asked = parser(__doc__).parse_args()
    share = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory() as name:
        calls = _calls(Path(name), CALLS, ROUNDS // share)
        real = _libraries(Path(name), CALLS // 4, max(ROUNDS // 4 // share, 1))
    text = page(
        "Frameworks",
        "What a call of a hooked framework costs, with a run that hears it and without.",
        [
            table(["a call", "µs", "above as it is", "above logging by hand"], calls),
            table(["a real call", "alone, µs", "with a run, µs", "ratio"], real),
        ],
    )
    publish("frameworks", text, asked)


if __name__ == "__main__":
    main()
