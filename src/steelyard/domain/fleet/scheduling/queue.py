"""The tasks that wait, so ordered that a pass meets only those that a free worker could take.

Tasks of one party (whoever is served in turn) that ask for the same are a lane, a heap. Lanes that
fit the same workers are a group, a heap of lanes by their first task. What is dropped stays in the
heaps until it comes to their top, or until half of a heap is such.
"""

import heapq
from collections.abc import Hashable, Iterator

import msgspec

from steelyard.domain.fleet.model import Task
from steelyard.domain.fleet.requirements import Requirements
from steelyard.domain.fleet.scheduling.places import Profiles

Order = tuple[float, ...]
"""What tasks are sorted by, the smallest first; of equals, the first to come."""
DEAD_MAX = 32
"""Dropped entries that a heap may hold beyond as many as it has live ones."""


class Lane:
    """Tasks of one party that ask for the same."""

    __slots__ = ("dead", "group", "heap", "key", "listed", "live", "needs", "party", "stashed")

    def __init__(self, party: "Party", key: tuple[bytes, str], needs: Requirements) -> None:
        self.party = party
        self.key = key
        self.needs = needs
        self.heap: list[tuple[Order, int, Waiting]] = []
        self.group: Group | None = None
        self.live = 0
        self.dead = 0
        self.listed = -1
        self.stashed = False

    def first(self) -> tuple[Order, int, "Waiting"] | None:
        """Return the first entry that is not dropped."""
        heap = self.heap
        while heap and heap[0][1] != heap[0][2].number:
            heapq.heappop(heap)
            self.dead -= 1
        return heap[0] if heap else None

    def compact(self) -> None:
        """Forget dropped entries once they are many."""
        if self.dead > self.live + DEAD_MAX:
            self.heap = [entry for entry in self.heap if entry[1] == entry[2].number]
            heapq.heapify(self.heap)
            self.dead = 0


class Waiting:
    """A task in the queue.

    Attributes:
        number: of its coming; another one when it is dropped or put elsewhere.
    """

    __slots__ = ("lane", "number", "order", "task")

    def __init__(self, task: Task, lane: Lane, order: Order, number: int) -> None:
        self.task = task
        self.lane = lane
        self.order = order
        self.number = number


class Group:
    """Lanes of one party that fit the same profiles, and, where they ask for one, worker."""

    __slots__ = ("heads", "lanes", "mask", "pin")

    def __init__(self, mask: int, pin: str) -> None:
        self.mask = mask
        self.pin = pin
        self.heads: list[tuple[Order, int, Lane]] = []
        self.lanes = 0

    def list(self, lane: Lane) -> None:
        """Have a lane found by its first task."""
        first = lane.first()
        if first is not None and lane.listed != first[1]:
            lane.listed = first[1]
            heapq.heappush(self.heads, (first[0], first[1], lane))
            if len(self.heads) > 2 * self.lanes + DEAD_MAX:
                live = {h[1]: h for h in self.heads if h[2].group is self and h[2].listed == h[1]}
                self.heads = list(live.values())
                heapq.heapify(self.heads)

    def first(self) -> "Waiting | None":
        """Return the first task of all lanes that are not stashed."""
        heads = self.heads
        while heads:
            _, number, lane = heads[0]
            if lane.group is self and not lane.stashed:
                first = lane.first()
                if first is not None and first[1] == number:
                    return first[2]
                heapq.heappop(heads)
                if lane.listed == number:
                    lane.listed = -1
                self.list(lane)
                heads = self.heads
            else:
                heapq.heappop(heads)
        return None


class Party:
    """Whoever is served in turn: a user, a project, or all at once."""

    __slots__ = ("groups", "key", "lanes")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.lanes: dict[tuple[bytes, str], Lane] = {}
        self.groups: dict[tuple[int, str], Group] = {}


class Queue:
    """All tasks that wait, by id in `waiting`, and by who is served in `parties`."""

    def __init__(self) -> None:
        self.profiles = Profiles()
        self.waiting: dict[str, Waiting] = {}
        self.parties: dict[Hashable, Party] = {}
        self._number = 0
        self._fitted = 0
        self._taken: list[Waiting] = []
        self._stashed: list[Lane] = []

    def __len__(self) -> int:
        """Return how many tasks wait."""
        return len(self.waiting)

    def __iter__(self) -> Iterator[Task]:
        """Yield the tasks as they came."""
        return (waiting.task for waiting in self.waiting.values())

    def put(self, task: Task, party: Hashable, order: Order, sort: str = "") -> None:
        """Let a task wait; one that waits already is put elsewhere.

        Args:
            task: it is ready.
            party: who is served with it.
            order: its place in the queue.
            sort: tasks of different sorts are in different lanes, whatever they ask for.
        """
        self.drop(task.spec.task_id)
        needs = task.spec.requirements
        found = self.parties.get(party)
        if found is None:
            found = self.parties[party] = Party(party)
        key = (msgspec.msgpack.encode(needs), sort)
        lane = found.lanes.get(key)
        if lane is None:
            lane = found.lanes[key] = Lane(found, key, needs)
            self._join(lane, self.profiles.mask(needs))
        self._number += 1
        waiting = Waiting(task, lane, order, self._number)
        self.waiting[task.spec.task_id] = waiting
        lane.live += 1
        self._push(waiting)

    def drop(self, task_id: str) -> None:
        """Let a task wait no more."""
        waiting = self.waiting.pop(task_id, None)
        if waiting is None:
            return
        waiting.number = -1
        lane = waiting.lane
        lane.live -= 1
        lane.dead += 1
        if lane.live:
            lane.compact()
            return
        del lane.party.lanes[lane.key]
        self._leave(lane)
        if not lane.party.lanes:
            del self.parties[lane.party.key]

    def _push(self, waiting: Waiting) -> None:
        lane = waiting.lane
        entry = (waiting.order, waiting.number, waiting)
        heapq.heappush(lane.heap, entry)
        if lane.heap[0] is entry and lane.group is not None and not lane.stashed:
            lane.group.list(lane)

    def _join(self, lane: Lane, mask: int) -> None:
        key = (mask, lane.needs.worker)
        group = lane.party.groups.get(key)
        if group is None:
            group = lane.party.groups[key] = Group(*key)
        group.lanes += 1
        lane.group, lane.listed = group, -1
        group.list(lane)

    def _leave(self, lane: Lane) -> None:
        group, lane.group = lane.group, None
        if group is not None:
            group.lanes -= 1
            if not group.lanes:
                del lane.party.groups[group.mask, group.pin]

    # A pass

    def fit(self) -> None:
        """Find out which lanes fit the profiles that are new."""
        first, self._fitted = self._fitted, len(self.profiles)
        if first == self._fitted:
            return
        for party in self.parties.values():
            for lane in party.lanes.values():
                was = lane.group.mask if lane.group is not None else 0
                mask = was | self.profiles.mask(lane.needs, first)
                if mask != was:
                    self._leave(lane)
                    self._join(lane, mask)

    def forget_profiles(self) -> None:
        """Begin anew with no profile known."""
        self.profiles = Profiles()
        self._fitted = 0
        for party in self.parties.values():
            for lane in party.lanes.values():
                self._leave(lane)
                self._join(lane, 0)

    def first(self, party: Party, mask: int, pins: frozenset[str]) -> Waiting | None:
        """Return a party's first task that fits one of the profiles, or asks for one of `pins`."""
        best: Waiting | None = None
        for group in party.groups.values():
            if group.mask & mask and (not group.pin or group.pin in pins):
                found = group.first()
                if found is not None and (
                    best is None or (found.order, found.number) < (best.order, best.number)
                ):
                    best = found
        return best

    def take(self, waiting: Waiting) -> None:
        """Take a lane's first task for the rest of the pass: it has been proposed."""
        heapq.heappop(waiting.lane.heap)
        self._taken.append(waiting)

    def pull(self, waiting: Waiting) -> None:
        """Take a task out of turn for the rest of the pass; it comes back behind its equals."""
        waiting.number = -1
        waiting.lane.dead += 1
        self._taken.append(waiting)

    def move(self, waiting: Waiting, order: Order) -> None:
        """Give a lane's first task another place in the queue, in the middle of a pass."""
        heapq.heappop(waiting.lane.heap)
        self._number += 1
        waiting.order, waiting.number = order, self._number
        self._push(waiting)
        if waiting.lane.group is not None:
            waiting.lane.group.list(waiting.lane)

    def stash(self, lane: Lane) -> None:
        """Leave a lane alone for the rest of the pass: no free worker takes its first task."""
        lane.stashed = True
        self._stashed.append(lane)

    def restore(self) -> None:
        """End a pass: all that was taken or stashed waits as before."""
        for lane in self._stashed:
            lane.stashed, lane.listed = False, -1
            if lane.group is not None:
                lane.group.list(lane)
        taken, self._taken, self._stashed = self._taken, [], []
        for waiting in taken:
            if waiting.number < 0:
                self._number += 1
                waiting.number = self._number
            self._push(waiting)
