"""What frameworks tell of one run, kept within bounds."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from steelyard.app.track.attached import Attached
from steelyard.domain.track.bounded_params import take_params
from steelyard.domain.track.names import check_name
from steelyard.domain.track.steps import to_step
from steelyard.domain.track.values import to_scalar
from steelyard.kernel.errors import UsageError

NAMES_MAX = 1_000
"""Distinct names of metrics, and of parameters, that frameworks may bring into one run."""

LEFT_OUT_TAG = "steelyard.automagic.left_out"
_log = logging.getLogger("steelyard.track")
_T = TypeVar("_T")


class Bounds:
    """What all frameworks share of one run."""

    def __init__(self, experiment: Attached, names_max: int = NAMES_MAX) -> None:
        self.experiment = experiment
        self.left_out = 0
        self._names_max = names_max
        self._metrics: set[str] = set()
        self._params: set[str] = set()

    def admits_metric(self, name: Any, source: str) -> bool:
        """Tell whether one more value of this name may be logged."""
        return name in self._metrics or self._admit(self._metrics, name, source)

    def admits_param(self, name: str, source: str) -> bool:
        """Tell whether a parameter of this name may be logged."""
        return name in self._params or self._admit(self._params, name, source)

    def leave_out(self, name: Any, source: str, why: str, count: int = 1) -> None:
        """Count what is not logged; only the first of it is told at once."""
        self.left_out += count
        if self.left_out == count:
            _log.warning(
                "'%s' of %s is not logged, as %s; more of it is counted in the tag %s",
                name, source, why, LEFT_OUT_TAG,
            )  # fmt: skip

    def close(self) -> None:
        """Say in the run how much was left out."""
        if self.left_out:
            self.experiment.set_tags({LEFT_OUT_TAG: self.left_out})

    def _admit(self, names: set[str], name: Any, source: str) -> bool:
        why = f"the run has {self._names_max} names by now" if len(names) >= self._names_max else ""
        if not why:
            try:
                names.add(check_name(name, "metric"))
            except UsageError as error:
                why = str(error).partition("\n")[0]
        if why:
            self.leave_out(name, source, why)
        return not why


class RunSink:
    """One framework's way into one run. See `steelyard.domain.track.ports:Sink`."""

    def __init__(self, bounds: Bounds, framework: str, options: Mapping[str, Any]) -> None:
        self.options = options
        self.memory: dict[Any, Any] = {}
        self.source = f"framework:{framework}"
        self._bounds = bounds
        self._experiment = bounds.experiment

    def log_metrics(self, values: Mapping[str, Any], step: Any = None) -> None:
        """Log those of the values that are numbers."""
        source = self.source
        if step is not None and (type(step) is not int or step < 0):
            step = self._told(to_step, step, next(iter(values), ""))
            if step is None:
                return
        admits = self._bounds.admits_metric
        numbers: dict[str, float] = {}
        for name, value in values.items():
            number = value if type(value) is float else self._told(to_scalar, value, name)
            if number is not None and admits(name, source):
                numbers[name] = number
        if numbers:
            self._log(numbers, step)

    def log_params(self, values: Any, prefix: str = "") -> None:
        """Log parameters below a prefix; what looks like a secret the run keeps out itself."""
        taken = take_params(values, prefix)
        if taken.left_out:
            self._bounds.leave_out(
                prefix, self.source, "it is too much, or too deep", taken.left_out
            )
        admits = self._bounds.admits_param
        kept = {name: value for name, value in taken.values.items() if admits(name, self.source)}
        if kept and self._experiment.is_running:
            self._experiment.log_params(kept)

    def _told(self, convert: Callable[[Any], _T], value: Any, name: Any) -> _T | None:
        try:
            return convert(value)
        except UsageError as error:
            self._bounds.leave_out(name, self.source, str(error).partition("\n")[0])
            return None

    def _log(self, numbers: Mapping[str, float], step: int | None) -> None:
        try:
            self._experiment.log_metrics(numbers, step=step, source=self.source)
        except UsageError:
            if self._experiment.is_running:  # else another thread stopped it: nothing is lost
                raise
