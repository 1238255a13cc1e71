"""What differs between runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

SECTIONS = ("param", "tag", "metric", "artifact")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing, in each of the runs compared.

    Attributes:
        section: one of `SECTIONS`.
        values: in the order of the runs; None where a run has none.
        change: of a metric, from the first run to the last, relative to the first (0.1 is 10 %
            more); None where there is no such number.
    """

    section: str
    name: str
    values: tuple[Any, ...]
    change: float | None = None

    @property
    def same(self) -> bool:
        """True when all runs have it, with the same value."""
        first = self.values[0]
        return first is not None and all(_equal(first, value) for value in self.values[1:])


def differences(
    runs: Sequence[Mapping[str, Mapping[str, Any]]], *, all_rows: bool = False
) -> list[Difference]:
    """Return what differs between runs, or with `all_rows` all that they have.

    Args:
        runs: each a mapping of section to values by name.
        all_rows: keep what is the same, too.
    """
    rows = [
        Difference(section=section, name=name, values=values, change=change_of(section, values))
        for section in SECTIONS
        for name in _names(run.get(section, {}) for run in runs)
        for values in [tuple(run.get(section, {}).get(name) for run in runs)]
    ]
    return [row for row in rows if all_rows or not row.same]


def change_of(section: str, values: Sequence[Any]) -> float | None:
    """Return how much the last value is above the first, relative to the first."""
    first, last = values[0], values[-1]
    if section != "metric" or first is None or last is None or not first:
        return None
    change = (last - first) / abs(first)
    return change if abs(change) < float("inf") else None


def _names(sections: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({name for section in sections for name in section})


def _equal(one: Any, other: Any) -> bool:
    if one != one and other != other:  # noqa: PLR0124  two NaNs are the same result
        return True
    return type(one) is type(other) and bool(one == other)
