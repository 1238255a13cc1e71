"""Which step a metric's value belongs to."""

from collections.abc import Iterable, Mapping
from itertools import count
from operator import index
from typing import Any

from steelyard.kernel.errors import UsageError

STEP_MAX = 2**62
"""No table of numbers holds more than twice that; one that counts on never gets there."""


def to_step(value: Any) -> int:
    """Return a step that a caller stated, as an int; 0 is a step like any other.

    Raises:
        UsageError: it is not a whole number, below 0, or above `STEP_MAX`.
    """
    if type(value) is int and 0 <= value <= STEP_MAX:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif hasattr(value, "item"):
        value = value.item()
    try:
        step = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        step = -1
    if not 0 <= step <= STEP_MAX:
        # Python does not write numbers of thousands of digits.
        shown = value if step.bit_length() < 1_000 else f"a number of {step.bit_length()} bits"
        raise UsageError(
            "A step counts from 0", got=shown, expected="a whole number from 0 to 2**62"
        )
    return step


def one_step(iteration: Any, step: Any) -> Any:
    """Return the step that was stated by either of its names.

    Raises:
        UsageError: they differ.
    """
    if step is None:
        return iteration
    if iteration is not None and iteration != step:
        raise UsageError("iteration and step are two names of one thing", got=(iteration, step))
    return step


class Steps:
    """Gives a value without a step the next one of its metric.

    A stated step wins; then the iteration that was set for the whole run; then one more than the
    metric's step before, from 0. Threads may share it: each gets a number of its own.
    """

    def __init__(self) -> None:
        self.iteration: int | None = None
        # Drawing from a count is one step of the interpreter: there is no lock to hold in a fork.
        self._next: dict[str, count[int]] = {}

    @property
    def names(self) -> Mapping[str, Any]:
        """The metrics that have had a step; their names were looked at then."""
        return self._next

    def take(self, name: str, stated: Any = None) -> int:
        """Return the step of a value of `name` that is logged now.

        Raises:
            UsageError: the stated step is none.
        """
        if stated is None:
            if self.iteration is None:
                return next(self._next.setdefault(name, count()))
            step = self.iteration
        else:
            step = to_step(stated)
        self._next[name] = count(step + 1)
        return step

    def take_for_all(self, names: Iterable[str], stated: Any = None) -> int:
        """Return the one step of several metrics that are logged together: the latest of theirs.

        Raises:
            UsageError: the stated step is none.
        """
        step = max((self.take(name, stated) for name in names), default=0)
        for name in names:
            self._next[name] = count(step + 1)
        return step

    def take_own(self, names: Iterable[str]) -> int:
        """Return the next step of several metrics, whatever iteration is set for the run."""
        step = max((next(self._next.setdefault(name, count())) for name in names), default=0)
        for name in names:
            self._next[name] = count(step + 1)
        return step
