"""The public Python API of the benchmark. Names are imported when they are first used.

>>> from steelyard.bench import DatasetPlan, EndpointPlan, PhasePlan, Plan, profile
>>> plan = Plan(
...     run_id="example",
...     models=("my-model",),
...     endpoint=EndpointPlan(urls=("http://127.0.0.1:8000",), streaming=True),
...     phases=(PhasePlan(name="profiling", concurrency=8, request_count=200),),
...     dataset=DatasetPlan(isl_mean=128, osl_mean=64),
...     artifact_dir="artifacts/example",
... )
>>> outcome = profile(plan)  # doctest: +SKIP
>>> outcome.summary.metrics["time_to_first_token"].p99  # doctest: +SKIP

`profile` forks the roles of a run in `run_type="process"` (the default): call it from a process
with one thread and no event loop, or choose `run_type="inline"`.

`track=TrackPlan(backends=("mlflow",))` tells trackers of the run; `outcome.tracked()` waits for
them and says how far they are.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steelyard.app.config import load_plan
    from steelyard.app.profile import Outcome
    from steelyard.app.profile import run_profile as profile
    from steelyard.app.report import rebuild as report
    from steelyard.domain.bench.plan import (
        DatasetPlan,
        EndpointPlan,
        OtelPlan,
        PhasePlan,
        Plan,
        TrackPlan,
    )
    from steelyard.domain.bench.summary import MetricSummary, Summary, Verdict

_HOMES = {
    "DatasetPlan": "steelyard.domain.bench.plan",
    "EndpointPlan": "steelyard.domain.bench.plan",
    "MetricSummary": "steelyard.domain.bench.summary",
    "OtelPlan": "steelyard.domain.bench.plan",
    "Outcome": "steelyard.app.profile",
    "PhasePlan": "steelyard.domain.bench.plan",
    "Plan": "steelyard.domain.bench.plan",
    "Summary": "steelyard.domain.bench.summary",
    "TrackPlan": "steelyard.domain.bench.plan",
    "Verdict": "steelyard.domain.bench.summary",
    "load_plan": "steelyard.app.config",
    "profile": "steelyard.app.profile:run_profile",
    "report": "steelyard.app.report:rebuild",
}

__all__ = [
    "DatasetPlan",
    "EndpointPlan",
    "MetricSummary",
    "OtelPlan",
    "Outcome",
    "PhasePlan",
    "Plan",
    "Summary",
    "TrackPlan",
    "Verdict",
    "load_plan",
    "profile",
    "report",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, _, attribute = home.partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
