"""What decides when a collector is asked, what of its answer is kept, and when it is given up."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steelyard.kernel.errors import UsageError

PERIOD_MIN_S = 0.1
VALUES_MAX = 512
"""Numbers of one sample that are kept."""

DEPTH_MAX = 8
FAILURES_MAX = 3
"""Failures in a row after which a collector is given up."""

_NS = 1_000_000_000


def check_period(period_s: Any) -> float:
    """Return how often a collector is asked, in seconds.

    Raises:
        UsageError: it is no number, or shorter than `PERIOD_MIN_S`.
    """
    is_number = isinstance(period_s, int | float) and not isinstance(period_s, bool)
    if not is_number or not PERIOD_MIN_S <= period_s < float("inf"):
        raise UsageError(
            "A collector can't be asked so often",
            got=period_s,
            expected=f"period_s of {PERIOD_MIN_S} seconds or more",
        )
    return float(period_s)


class Sample(msgspec.Struct, frozen=True):
    """The numbers of one answer, and how many values were beyond the bounds."""

    values: dict[str, float]
    beyond: int = 0


def numbers_in(answer: Mapping[str, Any], prefix: str) -> Sample:
    """Return the numbers in a collector's answer, by name with `prefix` in front.

    Mappings, lists and tuples are gone into, to `DEPTH_MAX` levels; their names are joined by `/`.
    Texts, None and everything else that is no number is left out, and so are numbers behind the
    first `VALUES_MAX`. Numbers of other libraries that are one number are taken.
    """
    values: dict[str, float] = {}
    pending: list[tuple[str, Any, int]] = [(prefix, answer, 0)]
    beyond = 0
    while pending:
        name, value, depth = pending.pop()
        inner = _parts(value)
        if inner is None:
            number = _number(value)
            if number is None:
                continue
            if len(values) < VALUES_MAX:
                values[name] = number
            else:
                beyond += 1
        elif depth == DEPTH_MAX:
            beyond += 1
        else:
            parts = [(f"{name}/{_clean(key)}", part, depth + 1) for key, part in inner]
            pending.extend(reversed(parts))
    return Sample(values, beyond)


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    return None


def _clean(key: Any) -> str:
    """Return a name's part without what no name may have."""
    text = str(key)
    return text if text.isprintable() else "".join(c if c.isprintable() else "_" for c in text)


def _number(value: Any) -> float | None:
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str | bytes | complex) or value is None:
        return None
    if not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


class Beat:
    """When a collector is asked: at multiples of its period after the start, whatever it takes.

    An answer that takes longer than a period costs the beats that it covers, and moves none.

    Args:
        period_s: the seconds between two beats.
        begun_ns: when the first period begins.

    Attributes:
        due_ns: the next beat.
        missed: beats that passed while an answer was waited for.
    """

    def __init__(self, period_s: float, begun_ns: int) -> None:
        self.period_ns = int(period_s * _NS)
        self._begun_ns = begun_ns
        self._beat = 1
        self.missed = 0

    @property
    def due_ns(self) -> int:
        """The next beat."""
        return self._begun_ns + self._beat * self.period_ns

    def wait_s(self, now_ns: int) -> float:
        """Return how long it is until the next beat, 0 when it is due."""
        return max(0, self.due_ns - now_ns) / _NS

    def answered(self, now_ns: int) -> None:
        """Go on to the first beat after now."""
        following = (now_ns - self._begun_ns) // self.period_ns + 1
        self.missed += max(0, following - self._beat - 1)
        self._beat = max(self._beat + 1, following)


class Health:
    """Whether a collector is asked again.

    Attributes:
        failures: how often it failed in all.
        last: what it said last.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.last = ""
        self._in_a_row = 0

    def failed(self, why: str) -> bool:
        """Count a failure; return True when the collector is to be given up."""
        self.failures += 1
        self._in_a_row += 1
        self.last = why
        return self._in_a_row >= FAILURES_MAX

    def worked(self) -> None:
        """It is well again."""
        self._in_a_row = 0
