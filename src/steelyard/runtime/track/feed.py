"""What a mirror reads of its run: the journal's streams as one, in the order of what happened."""

import heapq
from collections.abc import Iterator, Sequence

import msgspec

from steelyard.domain.track.courier import Courier
from steelyard.domain.track.events import Logged, RunEnded, RunStarted, logged
from steelyard.kernel.events import Event
from steelyard.runtime.journal import JournalReader, JournalTail
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.reader import read_fact


class Feed:
    """What a run's journal holds that a mirror has not queued yet, stream by stream."""

    def __init__(self, place: RunPlace, blobs: BlobStore) -> None:
        self.started: RunStarted | None = None
        self.started_ns = 0
        self.host_id = ""
        self.last_ns = 0
        self.end: RunEnded | None = None
        self._place = place
        self._blobs = blobs
        self._tails: dict[str, JournalTail] = {}
        self._boots: dict[tuple[str, str], int] = {}

    def fill(self, courier: Courier) -> int:
        """Queue what is new while there is room; return how many events were read."""
        if not courier.has_room:
            return 0
        streams: list[list[Event]] = []
        count = 0
        for tail in self._all_tails():
            streams.append([])
            for item in tail.poll():
                if isinstance(item, Event):
                    streams[-1].append(item)
                    count += 1
                if count + courier.pending >= courier.policy.queue_max:
                    break
        # Merged, not sorted: what a stream says stays in its order, whatever its times are.
        for event in heapq.merge(*streams, key=self._since):
            self._queue(event, courier)
        return count

    def _since(self, event: Event) -> int:
        """Return when an event was; boots, which each count anew, begin at their wall time."""
        boot = (event.host_id, event.boot_id)
        return event.mono_ns + self._boots.setdefault(boot, event.wall_ns - event.mono_ns)

    def _all_tails(self) -> Iterator[JournalTail]:
        reader = JournalReader(self._place.journal)
        for stream in reader.streams():
            if stream not in self._tails:
                self._tails[stream] = reader.tail(stream)
            yield self._tails[stream]

    def _queue(self, event: Event, courier: Courier) -> None:
        fact = read_fact(event)
        self.last_ns = max(self.last_ns, event.wall_ns)
        if isinstance(fact, RunStarted):
            self.started, self.end = fact, None
            self.started_ns = self.started_ns or event.wall_ns
            self.host_id = event.host_id
        elif isinstance(fact, RunEnded):
            self.end = msgspec.structs.replace(fact, ended_ns=event.wall_ns)
        if not courier.needs(event.stream_id, event.seq):
            return
        items: Sequence[Logged] = ()
        if fact is not None:
            items = logged(fact, event.wall_ns, _Paths(self._blobs))
        courier.take(event.stream_id, event.seq, items)


class _Paths(dict[str, str]):
    """Where each content lies, found when it is asked for."""

    def __init__(self, blobs: BlobStore) -> None:
        super().__init__()
        self._blobs = blobs

    def __missing__(self, sha256: str) -> str:
        return str(self._blobs.path(sha256))
