"""Requests that are given up on purpose: drawn beforehand, ended on time."""

import asyncio
import heapq
import time
from collections.abc import Callable

from steelyard.domain.bench.cancellation import CancelDraws
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.phase_load import PhaseLoad
from steelyard.runtime.timerfd import DeadlineTimer


class Cancellations:
    """Ends the drawn requests of a phase a fixed time after each had wholly been sent.

    Args:
        draws: which requests.
        delay_ns: how long after its last byte was handed over; 0 ends it right then.
        cancel: ends an exchange that is under way, with a text that says why.
        loop: wakes us.
    """

    def __init__(
        self,
        draws: CancelDraws,
        delay_ns: int,
        cancel: Callable[[Exchange, str], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._draws = draws
        self._delay_ns = delay_ns
        self._cancel = cancel
        self._timer = DeadlineTimer(loop, self._fire)
        self._text = f"given up on purpose {delay_ns / NS_PER_S:g} s after it was sent"
        self._due: list[tuple[int, int, int]] = []
        self._sent_by_place: dict[tuple[int, int], Exchange] = {}

    def consider(self, exchange: Exchange) -> None:
        """Draw whether a request that is about to be sent will be given up."""
        if self._draws.given_up(exchange.index, exchange.turn):
            exchange.when_sent = self._sent

    def _sent(self, exchange: Exchange) -> None:
        if self._delay_ns == 0:
            self._cancel(exchange, self._text)
            return
        self._sent_by_place[exchange.index, exchange.turn] = exchange
        heapq.heappush(
            self._due, (exchange.sent_ns + self._delay_ns, exchange.index, exchange.turn)
        )
        self._timer.arm(self._due[0][0])

    def forget(self, exchange: Exchange) -> None:
        """Let go of an exchange that is over."""
        self._sent_by_place.pop((exchange.index, exchange.turn), None)

    def _fire(self) -> None:
        now_ns = time.monotonic_ns()
        while self._due and self._due[0][0] <= now_ns:
            due_ns, *place = heapq.heappop(self._due)
            exchange = self._sent_by_place.get((place[0], place[1]))
            # Sent again on a fresh connection, it has a later entry.
            if exchange is not None and exchange.sent_ns + self._delay_ns <= due_ns:
                self._cancel(exchange, self._text)
        while self._due and self._due[0][1:] not in self._sent_by_place:
            heapq.heappop(self._due)
        if self._due:
            self._timer.arm(self._due[0][0])

    def close(self) -> None:
        """Give nothing up any more."""
        self._due.clear()
        self._timer.close()


def cancellations_of(
    load: PhaseLoad, cancel: Callable[[Exchange, str], None], loop: asyncio.AbstractEventLoop
) -> Cancellations | None:
    """Return what gives up requests of a phase, None where nothing does."""
    if load.cancel_draws is None:
        return None
    return Cancellations(load.cancel_draws, load.cancel_delay_ns, cancel, loop)
