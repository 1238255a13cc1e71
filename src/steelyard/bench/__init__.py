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

from typing import TYPE_CHECKING

from steelyard.runtime.lazy_names import lazy_names

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
