"""Scheduler `round_robin`: tasks as they came, workers in turn."""

from collections.abc import Hashable
from typing import ClassVar

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler


class RoundRobinScheduler(QueueScheduler):
    """Gives each task to the free worker whose last turn is the longest ago."""

    strategy: ClassVar[str] = "round_robin"

    def prepare(self) -> None:
        """Begin with nobody who had a turn."""
        self._turns: dict[str, int] = {}
        self._turn = 0

    def begin(self) -> None:
        """Forget the turns of workers that are gone."""
        if len(self._turns) > 2 * len(self.workers):
            self._turns = {n: turn for n, turn in self._turns.items() if n in self.workers}

    def score(self, task: Task, place: Place) -> Score:
        """Return the number of a worker's last turn."""
        return (self._turns.get(place.worker_id, 0),)

    def gave(self, party: Hashable, task: Task, place: Place, score: Score) -> None:
        """Note a worker's turn."""
        self._turn += 1
        self._turns[place.worker_id] = self._turn

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        last = int(score[-1])
        ago = f"{self._turn - last} turns ago" if last else "never"
        return (
            "It was the first in the queue that fits.",
            f"Worker {place.worker_id} was next in turn: it last had one {ago}.",
        )
