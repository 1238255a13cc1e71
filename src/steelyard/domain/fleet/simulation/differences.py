"""What another scheduler would have done otherwise."""

from collections.abc import Iterable, Sequence

import msgspec

from steelyard.domain.fleet.simulation.play import Choice


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One task that two schedulers treated otherwise.

    Attributes:
        first, second: the choices, None where a scheduler gave it no worker.
        places: by how many the second one served it later among all its choices; negative for
            earlier.
    """

    task_id: str
    first: Choice | None
    second: Choice | None
    places: int = 0

    def sentence(self) -> str:
        """Return it for a person."""
        one, two = self.first, self.second
        if one is None or two is None:
            there = one or two
            where = f"{there.worker_id} at {there.at_s:.1f} s" if there is not None else "nowhere"
            which = "first" if two is None else "second"
            return f"{self.task_id}: only the {which} one served it, on {where}."
        parts = []
        if one.worker_id != two.worker_id:
            parts.append(f"on {two.worker_id} instead of {one.worker_id}")
        late_s = two.at_s - one.at_s
        if abs(late_s) >= LATE_S:
            parts.append(f"{abs(late_s):.1f} s {'later' if late_s > 0 else 'earlier'}")
        if self.places and not parts:
            places = "1 place" if abs(self.places) == 1 else f"{abs(self.places)} places"
            parts.append(f"{places} {'later' if self.places > 0 else 'earlier'}")
        return f"{self.task_id}: {', '.join(parts)}."


LATE_S = 0.05
"""Choices closer in time than this were made at once: times are said in tenths of a second."""


def differences(first: Sequence[Choice], second: Sequence[Choice]) -> list[Difference]:
    """Return the tasks whose worker, time or turn differs, in the order of the first log.

    A task that was leased several times is compared by its last lease.
    """
    ones, twos = _places(first), _places(second)
    found: list[Difference] = []
    for task_id in dict.fromkeys((*ones, *twos)):
        place, one = ones.get(task_id, (0, None))
        turn, two = twos.get(task_id, (0, None))
        if one is None or two is None:
            found.append(Difference(task_id=task_id, first=one, second=two))
        elif one.worker_id != two.worker_id or abs(one.at_s - two.at_s) >= LATE_S or place != turn:
            found.append(Difference(task_id=task_id, first=one, second=two, places=turn - place))
    return found


def _places(choices: Iterable[Choice]) -> dict[str, tuple[int, Choice]]:
    return {choice.task_id: (number, choice) for number, choice in enumerate(choices)}
