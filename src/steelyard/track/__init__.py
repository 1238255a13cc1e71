"""The tracker's public Python API. Names are imported when they are first used.

>>> from steelyard.track import Experiment, start_logging, stop_logging, get_active_experiment
>>> experiment = start_logging("first", project="demo", directory=".steelyard")
>>> experiment.log_params({"optimizer": {"lr": 0.1}})
>>> for step in range(3):
...     experiment.log_metric("loss", 1 / (step + 1), step)
>>> stop_logging()
>>> experiment.snapshot().params
{'optimizer.lr': 0.1}
"""

from typing import TYPE_CHECKING

from steelyard.runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from steelyard.app.track.experiment import Experiment
    from steelyard.app.track.exporting import export
    from steelyard.app.track.hyperparameters import capture_hyperparameters
    from steelyard.app.track.logging import get_active_experiment, start_logging, stop_logging
    from steelyard.app.track.queries import diff, points, query, runs, show
    from steelyard.app.track.syncing import sync
    from steelyard.domain.track.ports import Backend, Collector, Delivery, Noted, RunFacts
    from steelyard.domain.track.routing import Rule
    from steelyard.domain.track.run import Run, Status
    from steelyard.domain.track.thinning import Sampling

_HOMES = {
    "Backend": "steelyard.domain.track.ports",
    "Collector": "steelyard.domain.track.ports",
    "Delivery": "steelyard.domain.track.ports",
    "Experiment": "steelyard.app.track.experiment",
    "Noted": "steelyard.domain.track.ports",
    "Rule": "steelyard.domain.track.routing",
    "Run": "steelyard.domain.track.run",
    "RunFacts": "steelyard.domain.track.ports",
    "Sampling": "steelyard.domain.track.thinning",
    "Status": "steelyard.domain.track.run",
    "capture_hyperparameters": "steelyard.app.track.hyperparameters",
    "diff": "steelyard.app.track.queries",
    "export": "steelyard.app.track.exporting",
    "get_active_experiment": "steelyard.app.track.logging",
    "points": "steelyard.app.track.queries",
    "query": "steelyard.app.track.queries",
    "runs": "steelyard.app.track.queries",
    "show": "steelyard.app.track.queries",
    "start_logging": "steelyard.app.track.logging",
    "stop_logging": "steelyard.app.track.logging",
    "sync": "steelyard.app.track.syncing",
}

__all__ = [
    "Backend",
    "Collector",
    "Delivery",
    "Experiment",
    "Noted",
    "Rule",
    "Run",
    "RunFacts",
    "Sampling",
    "Status",
    "capture_hyperparameters",
    "diff",
    "export",
    "get_active_experiment",
    "points",
    "query",
    "runs",
    "show",
    "start_logging",
    "stop_logging",
    "sync",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
