"""Who used how much, holds how much, and may have how much."""

from collections.abc import Mapping

import msgspec

from steelyard.domain.fleet.scheduling.measures import gini, jain
from steelyard.domain.fleet.scheduling.usage import Usage
from steelyard.kernel.units import NS_PER_S

LISTED_MAX = 50
"""Names that metrics list, those with the largest usage."""


class Quota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one may have at most; 0 is no limit.

    Attributes:
        running: leases at once.
        hours: slot hours within the window.
    """

    running: int = 0
    hours: float = 0.0


class Held(msgspec.Struct):
    """A lease that counts: until it ended by what it is thought to take, or took already."""

    name: str
    leased_ns: int
    expected_s: float


class Shares:
    """The usage of one sort of names, users or projects.

    Args:
        window_s: how far back usage counts.
        weights: a name of weight 2 is due twice what one of weight 1 is; 1 where none is given.
        quotas: by name; `*` is everybody's who has none of his own.
    """

    def __init__(
        self, window_s: float, weights: Mapping[str, float], quotas: Mapping[str, Quota]
    ) -> None:
        self.past = Usage(window_s)
        self.weights = weights
        self.quotas = quotas
        self.held: dict[str, Held] = {}
        self.running: dict[str, int] = {}
        self._charged: dict[str, float] = {}
        self._passing: dict[str, tuple[int, float]] = {}

    def lease(self, task_id: str, name: str, leased_ns: int, expected_s: float) -> None:
        """Count a lease, and its proposal no longer."""
        count, proposed_s = self._passing.pop(name, (0, 0.0))
        if count > 1:
            self._passing[name] = (count - 1, max(proposed_s - expected_s, 0.0))
        if task_id in self.held:
            return
        self.held[task_id] = Held(name, leased_ns, expected_s)
        self.running[name] = self.running.get(name, 0) + 1
        self._charged[name] = self._charged.get(name, 0.0) + expected_s

    def end(self, task_id: str, name: str, seconds: float, at_ns: int) -> None:
        """Count what a lease really took."""
        self.past.add(name, seconds, at_ns)
        held = self.held.pop(task_id, None)
        if held is None:
            return
        self.running[name] -= 1
        self._charged[name] -= held.expected_s
        if not self.running[name]:
            del self.running[name], self._charged[name]

    def recalculate(self, now_ns: int) -> None:
        """Let the window slide, and charge leases that take longer than expected for that."""
        self.past.expire(now_ns)
        self._charged = {}
        for held in self.held.values():
            held.expected_s = max(held.expected_s, (now_ns - held.leased_ns) / NS_PER_S)
            self._charged[held.name] = self._charged.get(held.name, 0.0) + held.expected_s

    def begin(self) -> None:
        """Forget what was proposed in the last pass: what was taken is held by now."""
        self._passing = {}

    def propose(self, name: str, expected_s: float) -> None:
        """Count a proposal until the next pass."""
        count, seconds = self._passing.get(name, (0, 0.0))
        self._passing[name] = (count + 1, seconds + expected_s)

    def used_s(self, name: str) -> float:
        """Return the slot seconds of a name: past, held and proposed."""
        _, proposed_s = self._passing.get(name, (0, 0.0))
        return self.past.of(name) + self._charged.get(name, 0.0) + proposed_s

    def due(self, name: str) -> float:
        """Return the usage of a name over its weight: who has the smallest is served next."""
        return self.used_s(name) / self.weights.get(name, 1.0)

    def over(self, name: str) -> str:
        """Return which quota keeps a name from more, empty when none does."""
        quota = self.quotas.get(name) or self.quotas.get("*")
        if quota is None:
            return ""
        running = self.running.get(name, 0) + self._passing.get(name, (0, 0.0))[0]
        if quota.running and running >= quota.running:
            return f"{running} leases at once"
        if quota.hours and self.used_s(name) >= quota.hours * 3600:
            return f"{quota.hours:g} slot hours within the window"
        return ""

    def names(self, waiting: set[str]) -> list[str]:
        """Return who waits, holds or used anything."""
        return sorted(waiting | set(self.running) | set(self.past.names()))

    def metrics(self, waiting: set[str]) -> dict[str, object]:
        """Return how even usage is, by weight, over all that wait for, hold or used anything."""
        names = self.names(waiting)
        dues = {name: self.due(name) for name in names}
        total = sum(self.used_s(name) for name in names) or 1.0
        largest = sorted(names, key=lambda name: (-dues[name], name))[:LISTED_MAX]
        return {
            "active": len(names),
            "jain": jain(dues.values()),
            "gini": gini(dues.values()),
            "shares": {name: self.used_s(name) / total for name in largest},
        }
