"""Decides what a mirror does next: open, send, wait or rest. The driver does it and tells."""

from collections import deque
from collections.abc import Sequence

import msgspec

from steelyard.domain.track.events import Logged
from steelyard.domain.track.ports import Delivery
from steelyard.domain.track.routing import Router
from steelyard.domain.track.thinning import Away, Slot
from steelyard.kernel.units import NS_PER_S


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How much is sent at once, and how long a failure is waited out.

    Attributes:
        batch_max: items in one call.
        queue_max: items read ahead of the backend; what is behind them stays in the journal.
        first_wait_ns: after the first failure; doubled with each further one, up to `wait_max_ns`.
    """

    batch_max: int = 1_000
    queue_max: int = 10_000
    first_wait_ns: int = NS_PER_S // 2
    wait_max_ns: int = 30 * NS_PER_S

    def wait_ns(self, failures: int) -> int:
        """Return how long to wait after so many failures in a row."""
        return min(self.first_wait_ns << min(failures - 1, 30), self.wait_max_ns)


class Place(msgspec.Struct, kw_only=True):
    """How far a mirror is, and what became of all before: enough to go on in another process.

    Attributes:
        next_seq: by stream of the journal, the first event not wholly delivered.
        within: by stream, how many items of that event are done with.
        closings: by stream, before which events the run had ended once; see `Courier.finish`.
        delivered: items the backend has.
        retried: items sent more than once, counted each time again.
        dropped: items the backend refused for good; `why_dropped` counts them by reason.
        skipped: items that a rule keeps from this backend.
        sampled: values for which others stand, or that were over a limit.
        last_error: why the latest call failed; empty when it did not.
    """

    reference: str = ""
    next_seq: dict[str, int] = {}
    within: dict[str, int] = {}
    closings: dict[str, list[int]] = {}
    delivered: int = 0
    retried: int = 0
    dropped: int = 0
    skipped: int = 0
    sampled: int = 0
    why_dropped: dict[str, int] = {}
    last_error: str = ""
    closed: bool = False


class Open(msgspec.Struct, frozen=True):
    """Call `open`."""


class Send(msgspec.Struct, frozen=True):
    """Call `log` with these."""

    items: Sequence[Logged]


class Wait(msgspec.Struct, frozen=True):
    """Do nothing before this time."""

    until_ns: int


class Rest(msgspec.Struct, frozen=True):
    """There is nothing to do until something is added."""


Action = Open | Send | Wait | Rest


class _Item(msgspec.Struct, frozen=True):
    stream: str
    seq: int
    number: int
    is_last: bool
    slot: Slot | None


class Courier:
    """The queue of one mirror, in order. Not thread-safe: its driver has one thread.

    Args:
        place: where an earlier courier of this run and backend stopped; moved forward here.
        policy: see `Policy`.
        router: says what the backend is told; everything without it.
    """

    def __init__(
        self,
        place: Place | None = None,
        policy: Policy | None = None,
        router: Router | None = None,
    ) -> None:
        self.place = place or Place()
        self.policy = policy or Policy()
        self._router = router or Router("")
        self._latest: dict[str, int] = {}
        self._closed: dict[str, int] = {}
        self._queue: deque[_Item] = deque()
        self._is_open = False
        self._failures = 0
        self._resume_ns = 0
        self._sent_before = 0

    @property
    def pending(self) -> int:
        """Items in the queue."""
        return len(self._queue)

    @property
    def has_room(self) -> bool:
        """True while more may be added."""
        return len(self._queue) < self.policy.queue_max

    def needs(self, stream: str, seq: int) -> bool:
        """Tell whether an event of the journal is to be handed to `take`: not what is delivered.

        A router that remembers must see all of them again.
        """
        return self._router.remembers or not self._knows(stream, seq)

    def take(self, stream: str, seq: int, items: Sequence[Logged]) -> None:
        """Queue what an event of the journal holds, as far as this backend is told of it."""
        first = self._closed.pop(stream, 0)
        slots: list[Slot] = []
        if not first and seq in self.place.closings.get(stream, ()):
            slots = self._router.close(stream)
        slots += self._router.route(stream, items)
        self._latest[stream] = seq
        if not self._knows(stream, seq):
            self._add(stream, seq, slots, first, is_whole=True)

    def finish(self) -> bool:
        """Queue what samplings hold back at the end of the run; False when there is nothing.

        It gets the place of an event that is not there yet. Should the run be resumed, it is not
        sent again before that event, and what was held back then starts anew.
        """
        before = len(self._queue)
        for stream, latest in self._latest.items():
            slots = self._router.close(stream)
            if not slots:
                continue
            closings = self.place.closings.setdefault(stream, [])
            if latest + 1 not in closings:
                closings.append(latest + 1)
            self._closed[stream] = len(slots)
            self._add(stream, latest + 1, slots, 0, is_whole=False)
        return len(self._queue) > before

    def _knows(self, stream: str, seq: int) -> bool:
        return seq < self.place.next_seq.get(stream, 0)

    def _add(
        self, stream: str, seq: int, slots: Sequence[Slot], first: int, *, is_whole: bool
    ) -> None:
        done = self.place.within.get(stream, 0)
        if seq != self.place.next_seq.get(stream, 0):
            done = 0
        last = first + len(slots) - 1
        for number, slot in enumerate(slots, first):
            if number >= done:
                is_last = is_whole and number == last
                self._queue.append(_Item(stream, seq, number, is_last, slot))
        if is_whole and last < max(first, done):
            # Nothing of it is for a mirror; its place in the order is kept all the same.
            self._queue.append(_Item(stream, seq, -1, is_last=True, slot=None))

    def decide(self, now_ns: int) -> Action:
        """Return what to do now."""
        self._pass_over()
        if now_ns < self._resume_ns:
            return Wait(self._resume_ns)
        if not self._is_open:
            return Open()
        if not self._queue:
            return Rest()
        batch: list[Logged] = []
        for item in self._queue:
            if item.slot is None or isinstance(item.slot, Away):
                continue
            batch.append(item.slot)
            if len(batch) == self.policy.batch_max:
                break
        return Send(batch)

    def opened(self, reference: str) -> None:
        """Take in that the backend was opened."""
        self._is_open = True
        self.place.reference = reference or self.place.reference
        self._succeeded()

    def failed(self, reason: str, now_ns: int, sent: int = 0) -> None:
        """Take in that a call failed; `sent` items of the queue will be sent again."""
        self._failures += 1
        self.place.retried += min(self._sent_before, sent)
        self._sent_before = max(self._sent_before, sent)
        self._resume_ns = now_ns + self.policy.wait_ns(self._failures)
        self.place.last_error = reason

    def took(self, delivery: Delivery, sent: int, now_ns: int) -> None:
        """Take in what the backend made of a batch of `sent` items."""
        taken = max(0, min(delivery.taken, sent))
        if not taken and sent:
            self.failed("the backend took nothing of a batch", now_ns, sent)
            return
        self.place.retried += min(self._sent_before, sent)
        for index in range(taken):
            self._pass_over()
            item = self._queue.popleft()
            self._done(item)
            if index in delivery.refused:
                self._drop(delivery.refused[index])
            else:
                self.place.delivered += 1
        self._sent_before = sent - taken
        self._succeeded()

    def reopen(self) -> None:
        """Have the backend opened again before the next batch."""
        self._is_open = False

    def _succeeded(self) -> None:
        self._failures = 0
        self._resume_ns = 0
        self.place.last_error = ""

    def _drop(self, reason: str) -> None:
        self.place.dropped += 1
        self.place.why_dropped[reason] = self.place.why_dropped.get(reason, 0) + 1

    def _pass_over(self) -> None:
        """Move past what is not for this backend."""
        while self._queue and ((slot := self._queue[0].slot) is None or isinstance(slot, Away)):
            self.place.skipped += slot is Away.RULE
            self.place.sampled += slot is Away.SAMPLED
            self._done(self._queue.popleft())

    def _done(self, item: _Item) -> None:
        if item.is_last:
            self.place.next_seq[item.stream] = item.seq + 1
            self.place.within.pop(item.stream, None)
        else:
            self.place.next_seq[item.stream] = item.seq
            self.place.within[item.stream] = item.number + 1
