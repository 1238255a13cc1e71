"""Which step a metric's value belongs to."""

from collections.abc import Iterable
from itertools import count
from operator import index
from typing import Any

from steelyard.kernel.errors import UsageError


def to_step(value: Any) -> int:
    """Return a step that a caller stated, as an int; 0 is a step like any other.

    Raises:
        UsageError: it is not a whole number, or below 0.
    """
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif hasattr(value, "item"):
        value = value.item()
    try:
        step = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        step = -1
    if step < 0:
        raise UsageError("A step counts from 0", got=value, expected="a whole number, 0 or more")
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
