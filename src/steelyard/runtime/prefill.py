"""The gate that lets only so many requests at once wait for their first content."""

import time
from collections.abc import Callable

from steelyard.domain.bench.first_content import FirstContent
from steelyard.domain.bench.ports import Endpoint
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.slots import Slots


class PrefillGate:
    """Counts the requests that wait for their first content, or for their end.

    Only what goes through the gate is read while it comes in, and only up to its first content.

    Args:
        endpoint: reads the events of streams.
        slots: how many may wait.
        start_ns: when the phase starts.
        freed: called when a stream's first content made room, before its next read.

    Attributes:
        slots: how many may wait.
        free_since_ns: since when there has been room without a break.
    """

    def __init__(
        self, endpoint: Endpoint, slots: Slots, start_ns: int, freed: Callable[[], None]
    ) -> None:
        self.slots = slots
        self.free_since_ns = start_ns
        self._endpoint = endpoint
        self._freed = freed
        self._waiting: dict[Exchange, FirstContent] = {}

    def change(self, share: int | None, openings_ns: list[int] | None, now_ns: int) -> None:
        """Let another number of requests wait from now on."""
        full = self.full
        self.slots.change(share, openings_ns, now_ns)
        if full and not self.full:
            self.free_since_ns = now_ns

    def look(self, now_ns: int) -> None:
        """Open the slots that are due; the first of them may end a time without room."""
        next_ns = self.slots.next_ns
        if next_ns is None or next_ns > now_ns:
            return
        if self.full:
            self.free_since_ns = next_ns
        self.slots.look(now_ns)

    @property
    def full(self) -> bool:
        """No further request may be sent now."""
        return len(self._waiting) >= self.slots.open

    def enter(self, exchange: Exchange) -> None:
        """Count a request that is about to be sent."""
        self._waiting[exchange] = FirstContent(self._endpoint)
        exchange.when_read = self._read

    def _read(self, exchange: Exchange) -> None:
        waiting = self._waiting.get(exchange)
        if waiting is None:
            exchange.when_read = None
        elif waiting.found(exchange.pieces):
            self.leave(exchange)
            self._freed()

    def leave(self, exchange: Exchange) -> None:
        """Count a request no more: its first content is there, or it is over."""
        exchange.when_read = None
        full = self.full
        if self._waiting.pop(exchange, None) is not None and full:
            self.free_since_ns = time.monotonic_ns()
