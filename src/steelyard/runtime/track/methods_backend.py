"""A backend whose author wrote one method per thing: what a dialect's plugin looks like from here.

It has `log_metric(name, value, iteration)`, `log_params(params)` and
`log_artifact(local_path, artifact_path)`, and may have `start()`, `stop()` and
`can_handle_type(type)`.
"""

from collections.abc import Sequence
from typing import Any

from steelyard.domain.track.events import Artifact, Logged, Metric, Params, RunEnded
from steelyard.domain.track.ports import Delivery, RunFacts
from steelyard.domain.track.routing import type_of

_METHODS = ("log_metric", "log_params", "log_artifact")


def has_methods(value: Any) -> bool:
    """Tell whether `value` is such a backend."""
    return all(callable(getattr(value, name, None)) for name in _METHODS)


class MethodsBackend:
    """Makes a `Backend` of an object with one method per thing.

    What raises in the middle of a batch is gone on with where it raised: the batch comes again,
    and the items of it that were done are passed over.
    """

    def __init__(self, target: Any) -> None:
        self._target = target
        self._done = 0

    def open(self, run: RunFacts) -> str:
        """Start the plugin; it keeps no reference of its own.

        `config["experiment_name"]` is the run's name, unless somebody configured another.
        """
        config = getattr(self._target, "config", None)
        if isinstance(config, dict):
            config.setdefault("experiment_name", run.name)
        self._call("start")
        return run.reference or run.run_id

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Call a method for each item."""
        refused: dict[int, str] = {}
        for number, item in enumerate(items):
            if not self._takes(item):
                refused[number] = f"it has no method for a {type_of(item)}"
            elif number >= self._done:
                self._tell(item)
                self._done = number + 1
        self._done = 0
        return Delivery(len(items), refused)

    def flush(self) -> None:
        """Nothing is held back here."""
        self._call("flush")

    def close(self, end: RunEnded | None) -> None:
        """Stop the plugin."""
        self._call("stop")

    def _takes(self, item: Logged) -> bool:
        if not isinstance(item, Metric | Params | Artifact):
            return False
        asked = getattr(self._target, "can_handle_type", None)
        return asked is None or bool(asked(str(type_of(item))))

    def _tell(self, item: Logged) -> None:
        if isinstance(item, Metric):
            self._target.log_metric(item.name, item.value, item.step)
        elif isinstance(item, Params):
            self._target.log_params(dict(item.values))
        elif isinstance(item, Artifact):
            self._target.log_artifact(item.path, item.name)

    def _call(self, name: str) -> None:
        method = getattr(self._target, name, None)
        if method is not None:
            method()
