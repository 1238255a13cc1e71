"""Workers as a pass sees them: what is left of each, and which of them are alike."""

from collections.abc import Mapping

import msgspec

from steelyard.domain.fleet.model import Worker
from steelyard.domain.fleet.ports import Free
from steelyard.domain.fleet.requirements import Capabilities, Requirements, Room, unmet

STRANGERS_MAX = 64
"""Profiles that no worker has any more are forgotten beyond this many."""


class Place:
    """A worker with free slots.

    Attributes:
        room: what no lease holds; a pass takes from it.
        left: slots that a pass may still fill.
        held: leases, with those that the pass gave it.
        bit: of its profile.
    """

    __slots__ = ("bit", "held", "left", "room", "worker", "worker_id")

    def __init__(self, free: Free, bit: int, tasks_max: int) -> None:
        worker, room = free.worker, free.room
        self.worker = worker
        self.worker_id = worker.worker_id
        self.room = Room(
            cpu_cores=room.cpu_cores,
            memory_gb=room.memory_gb,
            disk_gb=room.disk_gb,
            gpus=room.gpus,
        )
        self.held = len(worker.holds)
        slots = min(worker.slots, tasks_max) if tasks_max else worker.slots
        self.left = max(slots - self.held, 0)
        self.bit = bit

    def give(self, needs: Requirements) -> None:
        """Take from it what a task needs."""
        self.room.take(needs)
        self.left -= 1
        self.held += 1


class Profiles:
    """Workers that can do the same are one profile, a bit: few are to be asked whether they fit."""

    def __init__(self) -> None:
        self.capabilities: list[Capabilities] = []
        self._bits: dict[bytes, int] = {}
        self._of: dict[str, tuple[Capabilities, int]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.capabilities)

    def bit(self, worker: Worker) -> int:
        """Return a worker's profile as a bit; a new one is the next bit."""
        known = self._of.get(worker.worker_id)
        if known is not None and known[0] is worker.capabilities:
            return known[1]
        key = msgspec.msgpack.encode(worker.capabilities)
        bit = self._bits.get(key)
        if bit is None:
            bit = self._bits[key] = 1 << len(self.capabilities)
            self.capabilities.append(worker.capabilities)
        self._of[worker.worker_id] = (worker.capabilities, bit)
        return bit

    def mask(self, needs: Requirements, first: int = 0) -> int:
        """Return the profiles, from number `first` on, that an idle worker of meets `needs`."""
        found = 0
        for number in range(first, len(self.capabilities)):
            if meets(needs, self.capabilities[number]):
                found |= 1 << number
        return found

    def are_stale(self, workers: Mapping[str, Worker]) -> bool:
        """Tell whether most of them belong to nobody any more."""
        return len(self.capabilities) > 2 * len(workers) + STRANGERS_MAX


def meets(needs: Requirements, has: Capabilities) -> bool:
    """Tell whether an idle worker would do, whatever its id."""
    if (
        needs.cpu_cores > has.cpu_cores
        or needs.memory_gb > has.memory_gb
        or needs.disk_gb > has.disk_gb
        or needs.gpus > len(has.gpus)
    ):
        return False
    return not unmet(needs, needs.worker, has)
