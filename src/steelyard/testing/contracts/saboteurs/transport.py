"""Transports with one fault each, over a plain one on asyncio streams."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.domain.bench.targets import Target
from steelyard.runtime.exchange import Exchange, ExchangeSink
from steelyard.testing.contracts.transport import TransportSubject


class Plain:
    """Conforms: a connection per request, stamps in user space."""

    def __init__(
        self,
        plan: EndpointPlan,
        targets: Sequence[Target],
        sink: ExchangeSink,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.plan, self.targets, self.sink, self.loop = plan, targets, sink, loop
        self.tasks: dict[asyncio.Task[None], Exchange] = {}

    async def open(self, connections: int) -> None:
        """Connect nothing ahead."""

    def set_wall_offset(self, offset_ns: int) -> None:
        """Need no offset."""

    def end_session(self, session: int) -> None:
        """Keep nothing for a session."""

    def submit(self, exchange: Exchange) -> None:
        """Carry it in a task."""
        exchange.submitted_ns = time.monotonic_ns()
        task = self.loop.create_task(self.carry(exchange))
        self.tasks[task] = exchange
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        exchange = self.tasks.pop(task)
        exchange.end_ns = time.monotonic_ns()
        self.finish(exchange)

    def finish(self, exchange: Exchange) -> None:
        """Tell the sink."""
        self.sink.finished(exchange)

    async def carry(self, exchange: Exchange) -> None:
        """Connect, send, read; a failure goes into the exchange."""
        target = self.targets[exchange.url]
        try:
            reader, writer = await asyncio.open_connection(target.host, target.port)
        except OSError as error:
            exchange.fail(ErrorKind.CONNECT, str(error))
            return
        try:
            exchange.connect_ns = time.monotonic_ns() - exchange.submitted_ns
            exchange.start_ns = self.begin(exchange)
            writer.write(exchange.request)
            exchange.sent_ns = time.monotonic_ns()
            self.tell(exchange.when_sent, exchange)
            await self.read(exchange, reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            exchange.fail(ErrorKind.TRUNCATED, str(error))
        finally:
            writer.close()

    def begin(self, exchange: Exchange) -> int:
        """Return the time of the first send."""
        return time.monotonic_ns()

    async def read(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        """Read head and body; stamp each read."""
        exchange.head = await reader.readuntil(b"\r\n\r\n")
        exchange.first_byte_ns = time.monotonic_ns()
        exchange.status = int(exchange.head.split()[1])
        missing = int(exchange.head.rpartition(b"Content-Length: ")[2].split()[0])
        while missing:
            data = await reader.read(missing)
            if not data:
                raise asyncio.IncompleteReadError(b"", missing)
            exchange.pieces.append(data)
            exchange.stamps.append(time.monotonic_ns())
            missing -= len(data)
            if missing:
                self.tell(exchange.when_read, exchange)

    def tell(self, callback: Callable[[Exchange], None] | None, exchange: Exchange) -> None:
        """Call who asked to be told."""
        if callback is not None:
            callback(exchange)

    def cancel(self, exchange: Exchange, text: str) -> None:
        """Cancel one task."""
        for task, carried in self.tasks.items():
            if carried is exchange and not exchange.error:
                exchange.cancelled = True
                exchange.fail(ErrorKind.CANCELLED, text)
                task.cancel()

    def cancel_all(self, text: str) -> None:
        """Cancel every task."""
        for task, exchange in self.tasks.items():
            exchange.cancelled = True
            exchange.fail(ErrorKind.CANCELLED, text)
            task.cancel()

    def sweep(self, now_ns: int) -> None:
        """Cancel what took too long."""
        for task, exchange in self.tasks.items():
            if now_ns - exchange.submitted_ns > self.plan.request_timeout_s * 1e9:
                exchange.fail(ErrorKind.TIMEOUT_REQUEST, "too long")
                task.cancel()

    async def close(self) -> None:
        """Wait for nothing."""
        for task in tuple(self.tasks):
            task.cancel()


class StampsAtTheEnd(Plain):
    """Stamps a response when it is complete."""

    async def read(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        """As above, with the fault."""
        await super().read(exchange, reader)
        exchange.stamps = [time.monotonic_ns()] * len(exchange.pieces)


class BooksTheConnect(Plain):
    """Calls the time to connect the server's."""

    def begin(self, exchange: Exchange) -> int:
        """As above, with the fault."""
        return exchange.submitted_ns


class TakesHalves(Plain):
    """Takes what came for an answer."""

    async def read(self, exchange: Exchange, reader: asyncio.StreamReader) -> None:
        """As above, with the fault."""
        try:
            await super().read(exchange, reader)
        except asyncio.IncompleteReadError:
            exchange.error_text = "never mind"


class NeverSweeps(Plain):
    """Trusts every server to answer."""

    def sweep(self, now_ns: int) -> None:
        """As above, with the fault."""


class FinishesTwice(Plain):
    """Counts a request twice."""

    def finish(self, exchange: Exchange) -> None:
        """As above, with the fault."""
        super().finish(exchange)
        super().finish(exchange)


class CancelsInSilence(Plain):
    """Cancels without saying so."""

    def cancel_all(self, text: str) -> None:
        """As above, with the fault."""
        for task in self.tasks:
            task.cancel()


class CancelsOnPaper(Plain):
    """Records a cancelled request as ended and leaves the server working on it."""

    def cancel(self, exchange: Exchange, text: str) -> None:
        """As above, with the fault."""
        exchange.cancelled = True
        exchange.fail(ErrorKind.CANCELLED, text)
        self.finish(exchange)

    def _over(self, task: asyncio.Task[None]) -> None:
        if not self.tasks[task].cancelled:
            super()._over(task)


class CancelsAgain(Plain):
    """Cancels what is over, too."""

    def cancel(self, exchange: Exchange, text: str) -> None:
        """As above, with the fault."""
        exchange.error_text = text


class TellsNobody(Plain):
    """Keeps sends and reads to itself."""

    def tell(self, callback: Callable[[Exchange], None] | None, exchange: Exchange) -> None:
        """As above, with the fault."""


def _subject(cls: Any) -> TransportSubject:
    return TransportSubject(cls)


HONEST = _subject(Plain)

SABOTEURS = [
    ("test_an_answer_arrives_with_its_stamps", _subject(StampsAtTheEnd)),
    ("test_connecting_is_not_booked_as_the_servers_time", _subject(BooksTheConnect)),
    ("test_a_broken_answer_is_a_failure", _subject(TakesHalves)),
    ("test_a_sweep_ends_what_took_too_long", _subject(NeverSweeps)),
    ("test_an_answer_arrives_with_its_stamps", _subject(FinishesTwice)),
    ("test_what_is_cancelled_says_so", _subject(CancelsInSilence)),
    ("test_one_exchange_is_cancelled_on_the_wire", _subject(CancelsOnPaper)),
    ("test_cancelling_what_is_over_changes_nothing", _subject(CancelsAgain)),
    ("test_who_asks_is_told_of_sends_and_reads", _subject(TellsNobody)),
]
