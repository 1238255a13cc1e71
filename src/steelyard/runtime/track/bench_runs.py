"""A benchmark seen as a run: its plan as parameters, its summary as metrics."""

from typing import Any

import msgspec

from steelyard.domain.bench.redact import redacted_plan, redacted_text
from steelyard.domain.bench.story import RUN_ENDED, RUN_STARTED
from steelyard.domain.track.params import flatten_params
from steelyard.domain.track.run import Run, Series, Status, settle
from steelyard.kernel.errors import JournalError
from steelyard.runtime.journal import JournalReader
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.reader import has_writer

SUMMARY_FILE = "profile_export.json"
PROJECT = "bench"
_NUMBERS = ("avg", "p50", "p90", "p95", "p99", "min", "max", "std")
_NO_PARAMS = frozenset({"run_id", "artifact_dir", "command_line", "ui", "log_level", "track"})
_STATUSES = {"completed": Status.FINISHED}
_INFINITE = {"+inf": float("inf"), "-inf": float("-inf")}


def read_bench_run(place: RunPlace) -> Run:
    """Return the benchmark in an artifact directory as a run.

    Metrics are those of `profile_export.json`, named `TAG.STATISTIC`; a run that has none yet,
    such as one that was killed, gets them by `steelyard report`.

    Raises:
        JournalError: there is no journal of a benchmark, or it can't be read.
    """
    run = Run(run_id=place.path.name, kind="bench", project=PROJECT)
    reader = JournalReader(place.journal)
    # The records have a stream of their own, which holds no events.
    stream = "controller" if "controller" in reader.streams() else None
    for event in reader.events(stream):
        run.last_ns = max(run.last_ns, event.wall_ns)
        if event.type == RUN_STARTED:
            run.run_id, run.host_id, run.started_ns = event.run_id, event.host_id, event.wall_ns
            _take_plan(run, event.payload.get("plan", {}))
        elif event.type == RUN_ENDED:
            status = str(event.payload.get("status", "completed"))
            run.status, run.ended_ns = status_of(status), event.wall_ns
            run.tags["ended"] = status
    if not run.started_ns:
        raise JournalError(f"The journal in {place.path} is not that of a benchmark")
    _take_summary(run, place)
    return settle(run, has_writer=has_writer(place.journal))


def plan_params(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a plan, as plain data, as parameters by dotted name: no secrets, nothing empty."""
    kept = {key: value for key, value in redacted_plan(plan).items() if key not in _NO_PARAMS}
    flat = flatten_params(kept)
    return {name: value for name, value in flat.items() if value not in ("", None, {}, [])}


def plan_name(plan: dict[str, Any]) -> str:
    """Return what a run of this plan is called: its endpoint and models."""
    models = ", ".join(str(model) for model in plan.get("models", ()))
    return f"{plan.get('endpoint', {}).get('type', '')} {models}".strip()


def status_of(ended: str) -> Status:
    """Return the status of a run whose benchmark ended so."""
    return _STATUSES.get(ended, Status.FAILED)


def summary_values(summary: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a summary, as plain data, by `TAG.STATISTIC`."""
    values = {}
    for tag, metric in summary.get("metrics", {}).items():
        for number in _NUMBERS:
            value = _number(metric.get(number))
            if value is not None:
                values[f"{tag}.{number}"] = value
    return values


def _take_plan(run: Run, plan: dict[str, Any]) -> None:
    run.params = plan_params(plan)
    run.command = redacted_text(str(plan.get("command_line", "")))
    run.name = plan_name(plan)


def _take_summary(run: Run, place: RunPlace) -> None:
    try:
        document = msgspec.json.decode((place.path / SUMMARY_FILE).read_bytes())
    except FileNotFoundError:
        return
    except (OSError, msgspec.DecodeError) as error:
        run.tags["summary"] = f"unreadable: {error}"
        return
    try:
        if document.get("run", {}).get("run_id") != run.run_id:
            return  # that of an earlier run in the same directory
        verdict = str(document.get("verdict", {}).get("status", ""))
        values = summary_values(document)
    except (AttributeError, TypeError, ValueError) as error:
        # One odd file is that run's trouble: all others of the store are listed with it.
        run.tags["summary"] = f"unreadable: it is no summary: {error}"
        return
    run.tags["verdict"] = verdict
    for name, value in values.items():
        run.metrics.setdefault(name, Series()).add(0, value)


def _number(value: Any) -> float | None:
    if isinstance(value, dict):
        return _INFINITE.get(str(value.get("non_finite")))
    return None if value is None else float(value)
