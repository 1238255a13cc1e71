"""Requests that a plugin's endpoint could not build: failed by its name, and nothing is sent."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from steelyard.domain.bench.records import ErrorKind
from steelyard.runtime.exchange import Exchange, ExchangeSink, Transport

IN_A_ROW_MAX = 100
"""So many requests in a row that could not be built are too many: no load comes of them."""


class UnbuiltAside:
    """A transport in front of another: it fails what there are no bytes of, and hands on the rest.

    It fails them in the next turn of the loop, so that an endpoint which builds nothing does not
    keep the loop from all else.

    Args:
        transport: carries what could be built.
        sink: told when an exchange is over.
        give_up: called once with the reason, when too many could not be built in a row.
    """

    def __init__(
        self,
        transport: Transport,
        sink: ExchangeSink,
        loop: asyncio.AbstractEventLoop,
        give_up: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._sink = sink
        self._loop = loop
        self._give_up = give_up
        self._unbuilt: deque[Exchange] = deque()
        self._in_a_row = 0
        self.open = transport.open
        self.end_session = transport.end_session
        self.cancel = transport.cancel
        self.sweep = transport.sweep
        self.set_wall_offset = transport.set_wall_offset

    def submit(self, exchange: Exchange) -> None:
        """Send it, or fail it soon."""
        if not exchange.prepared.refusal:
            self._in_a_row = 0
            self._transport.submit(exchange)
            return
        exchange.submitted_ns = time.monotonic_ns()
        exchange.request = b""
        self._unbuilt.append(exchange)
        if len(self._unbuilt) == 1:
            self._loop.call_soon(self._fail_all)

    def cancel_all(self, text: str) -> None:
        """End everything in flight; what could not be built has failed by then."""
        self._fail_all()
        self._transport.cancel_all(text)

    async def close(self) -> None:
        """Close every connection."""
        self._fail_all()
        await self._transport.close()

    def _fail_all(self) -> None:
        waiting, self._unbuilt = self._unbuilt, deque()
        for exchange in waiting:
            exchange.fail(ErrorKind.PLUGIN, exchange.prepared.refusal)
            exchange.end_ns = time.monotonic_ns()
            self._in_a_row += 1
            if self._in_a_row == IN_A_ROW_MAX:
                self._give_up(
                    f"{IN_A_ROW_MAX} requests in a row could not be built: "
                    f"{exchange.prepared.refusal}"
                )
            self._sink.finished(exchange)
