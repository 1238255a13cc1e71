"""Find out what this host and this instrument can do, against a server whose truth is known."""

import os
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelyard.app.composition import standard_host
from steelyard.app.embedded_mock import embedded_mock
from steelyard.app.profile import run_profile
from steelyard.domain.bench.calibration import (
    Calibration,
    LoadLevel,
    calibration_facts,
    ceilings,
    measure_errors_ms,
    spread,
    stamp_widths_ms,
)
from steelyard.domain.bench.plan import DatasetPlan, EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.ids import make_run_id
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.host_facts import host_facts
from steelyard.runtime.journal import JournalReader, journal_directory
from steelyard.runtime.mock.truth_reader import read_truth
from steelyard.runtime.plugin_host import PluginHost

LEVEL_S = 2.0
QUICK_LEVEL_S = 0.5
WARMUP_S = 0.3
GRACE_S = 10.0
_FILES_SPARED = 256


@dataclass(frozen=True)
class Sweep:
    """Levels of one kind of load: closed loops against one simulated server.

    Attributes:
        name: how its levels are called, with `{}` for the requests in flight.
        in_flight: one level each.
        quick: the levels of a quick calibration.
        tokens: output tokens of each answer.
        server: flags of `steelyard mock`.
    """

    name: str
    streaming: bool
    in_flight: tuple[int, ...]
    quick: tuple[int, ...]
    tokens: int
    server: tuple[str, ...] = ()

    def levels(self, *, quick: bool) -> tuple[int, ...]:
        """Return the requests in flight of each level that this user's open files allow."""
        return tuple(n for n in (self.quick if quick else self.in_flight) if n <= _files_max())


SWEEPS = (
    Sweep("whole answers, {} in flight", False, (1, 8, 64), (8,), 1),
    Sweep(
        "{} streams, a chunk each 20 ms", True, (16, 128, 512), (64,), 32,
        ("--ttft-ms", "100", "--itl-ms", "20"),
    ),
    Sweep("{} streams, no delay", True, (64,), (64,), 128),
    Sweep("{} connections waiting", True, (512, 2048), (256,), 1, ("--ttft-ms", "500")),
)  # fmt: skip


def calibrate(
    *, quick: bool = False, on_sweep: Callable[[str], None] = lambda _: None
) -> Calibration:
    """Measure this host; about 30 s, or 10 s when `quick`.

    Runs are those that `steelyard profile` makes: roles in processes of their own, one worker. As
    the simulated server has a process on the same host, ceilings are what both reach together.

    Args:
        quick: fewer levels and shorter ones.
        on_sweep: told the name of each sweep before it begins.

    Raises:
        SteelyardError: a run failed, or nothing of it could be judged.
    """
    host = standard_host()
    load_average = os.getloadavg()[0]
    levels: list[LoadLevel] = []
    for sweep in SWEEPS:
        on_sweep(sweep.name.format(_spoken(sweep.levels(quick=quick))))
        levels += _run_sweep(sweep, host, quick=quick)
    return Calibration(
        made_wall_ns=SystemClock.wall_ns(),
        facts=calibration_facts(host_facts()),
        levels=tuple(levels),
        ceilings=ceilings(levels),
        load_average=load_average,
    )


def _spoken(numbers: Sequence[int]) -> str:
    """Return `1, 8 and 64`."""
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _run_sweep(sweep: Sweep, host: PluginHost, *, quick: bool) -> list[LoadLevel]:
    in_flight = sweep.levels(quick=quick)
    with tempfile.TemporaryDirectory(prefix="steelyard-calibrate-") as scratch:
        log = Path(scratch) / "truth.csv"
        with embedded_mock(("--truth-log", str(log), *sweep.server)) as url:
            plan = _plan(sweep, in_flight, url, scratch, QUICK_LEVEL_S if quick else LEVEL_S)
            run_profile(plan, host=host)
        truth = read_truth(log)
        records = _records(Path(plan.artifact_dir))
    return list(_levels(sweep, in_flight, records, truth))


def _files_max() -> int:
    """Return how many connections this user's limit on open files allows a process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - _FILES_SPARED


def _plan(sweep: Sweep, in_flight: Sequence[int], url: str, scratch: str, level_s: float) -> Plan:
    warmup = PhasePlan(
        name="warmup",
        kind="warmup",
        concurrency=in_flight[0],
        duration_s=WARMUP_S,
        grace_s=GRACE_S,
    )
    levels = (
        PhasePlan(name=f"level-{n}", concurrency=n, duration_s=level_s, grace_s=GRACE_S)
        for n in in_flight
    )
    return Plan(
        run_id=make_run_id(SystemClock.wall_ns(), os.urandom(8)),
        models=("calibration",),
        endpoint=EndpointPlan(urls=(url,), streaming=sweep.streaming),
        phases=(warmup, *levels),
        dataset=DatasetPlan(isl_mean=16, osl_mean=sweep.tokens),
        artifact_dir=str(Path(scratch) / "run"),
        exporters=(),
        fail_on=(),
        ui="none",
        log_level="ERROR",
    )


def _records(directory: Path) -> np.ndarray:
    reader = JournalReader(journal_directory(directory))
    parts = [np.frombuffer(batch.data, dtype=RECORD_DTYPE) for batch in reader.record_batches()]
    return np.concatenate(parts) if parts else np.empty(0, RECORD_DTYPE)


def _levels(
    sweep: Sweep, in_flight: Sequence[int], records: np.ndarray, truth: np.ndarray
) -> Iterator[LoadLevel]:
    """Yield what each phase after the warm-up came to."""
    for phase, count in enumerate(in_flight, 1):
        rows = records[records["phase"] == phase]
        errors, unjudged = measure_errors_ms(rows, truth, streaming=sweep.streaming)
        name = sweep.name.format(count)
        if not errors:
            raise SteelyardError(
                f"Calibration learnt nothing from '{name}'",
                got=f"{rows.size} requests, {unjudged} without an answer and its truth",
                next_step="Is the host out of memory or open files? Try: steelyard mock --port 0",
            )
        span_s = float(rows["end_ns"].max() - rows["start_ns"].min()) / NS_PER_S
        chunks = int(np.maximum(rows["chunks"], 0).sum())
        yield LoadLevel(
            name=name,
            streaming=sweep.streaming,
            in_flight=count,
            requests=int(rows.size),
            failed=unjudged,
            requests_per_s=rows.size / span_s,
            events_per_s=chunks / span_s,
            errors={measure: spread(values) for measure, values in errors.items()},
            stamp_widths=stamp_widths_ms(rows, streaming=sweep.streaming),
        )
