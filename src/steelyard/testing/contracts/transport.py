"""The contract of a transport: every exchange ends once, with honest stamps and a named reason."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.exchange import Exchange, Prepared
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.testing.contracts.kit import Contract, require

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_LIMIT_S = 15.0
_TIMEOUT_S = 60.0
_PAUSE_S = 0.05
_REQUEST = b"GET /x HTTP/1.1\r\nHost: x\r\nX-Request-ID: run-p0-0-0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
_PARTS = (b"gram", b" and ", b"ounce")


@dataclass(frozen=True)
class TransportSubject:
    """A transport that carries HTTP/1.1 requests over TCP."""

    cls: type[Any]


class _Sink:
    def __init__(self) -> None:
        self.ended: list[Exchange] = []
        self.news = asyncio.Event()

    def finished(self, exchange: Exchange) -> None:
        self.ended.append(exchange)
        self.news.set()


async def _read_request(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    writer.write(_HEAD % sum(map(len, _PARTS)))
    for part in _PARTS:
        await asyncio.sleep(_PAUSE_S)
        writer.write(part)
    await writer.drain()
    await reader.read()


async def _break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    writer.write(_HEAD % 1000 + b"half")
    await writer.drain()


async def _say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


Then = Callable[[Any, Exchange], None]


def _no_wish(_: Exchange) -> None:
    """Send it as it is."""


async def _one(
    cls: Any, serve: Serve, then: Then | None, *, first: Callable[[Exchange], None], refuse: bool
) -> _Sink:
    """Send one request to a loopback server; call `then(transport, it)` while it is in flight."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled when the loop ends with a client still connected: that is no error here.
        with contextlib.suppress(asyncio.CancelledError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", 0)
    target = parse_target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    if refuse:
        server.close()
    sink = _Sink()
    plan = EndpointPlan(urls=(target.url,), request_timeout_s=_TIMEOUT_S)
    transport = cls(plan, [target], sink, asyncio.get_running_loop())
    try:
        exchange = Exchange(0, Prepared(0, 0, b"", b""), _REQUEST, time.monotonic_ns())
        first(exchange)
        transport.submit(exchange)
        if then is not None:
            await asyncio.sleep(2 * _PAUSE_S)
            require(not sink.ended, "the exchange ended before the server said anything")
            then(transport, exchange)
        await asyncio.wait_for(sink.news.wait(), _LIMIT_S)
        await asyncio.sleep(_PAUSE_S)
    finally:
        await transport.close()
        server.close()
    return sink


def _exchange(
    subject: TransportSubject,
    serve: Serve,
    then: Then | None = None,
    *,
    first: Callable[[Exchange], None] = _no_wish,
    refuse: bool = False,
) -> Exchange:
    box: list[_Sink | SteelyardError] = []

    def work() -> None:
        try:
            with PluginBorder().crossing(subject.cls.__name__, "carry a request"):
                box.append(asyncio.run(_one(subject.cls, serve, then, first=first, refuse=refuse)))
        except SteelyardError as error:
            box.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(2 * _LIMIT_S)
    require(box, "the transport did not come to an end")
    if isinstance(box[0], SteelyardError):
        raise AssertionError(str(box[0])) from box[0].__cause__  # noqa: TRY004  a failed claim
    count = len(box[0].ended)
    require(count == 1, f"one exchange was finished {count} times")
    return box[0].ended[0]


class TransportContract(Contract):
    """Inherit, and override `subject` with a `TransportSubject`."""

    kind = "transport"

    def test_an_answer_arrives_with_its_stamps(self, subject: TransportSubject) -> None:
        """Bytes as they came; times in order; each part stamped when it came, not at the end."""
        done = _exchange(subject, _answer)
        require(done.error == ErrorKind.NONE, f"failed: {done.error_text}")
        require(done.status == 200, f"status {done.status}")
        body = b"".join(done.pieces)
        require(body == b"".join(_PARTS), f"the body is {body!r}")
        require(len(done.stamps) == len(done.pieces), "pieces and stamps differ in number")
        times = [
            done.submitted_ns, done.start_ns, done.sent_ns, done.first_byte_ns, *done.stamps,
        ]  # fmt: skip
        require(MISSING not in times, f"a stamp is missing: {times}")
        # Kernel stamps are CLOCK_REALTIME, moved by a sampled offset: a little slack.
        in_order = all(a <= b + 1_000_000 for a, b in pairwise(times))
        require(in_order, f"times are out of order: {times}")
        spread_s = (done.stamps[-1] - done.stamps[0]) / 1e9
        require(
            spread_s > _PAUSE_S, f"parts sent {2 * _PAUSE_S} s apart are {spread_s:.4f} s apart"
        )

    def test_connecting_is_not_booked_as_the_servers_time(self, subject: TransportSubject) -> None:
        """`start_ns` is right before the first send, after the connection is there."""
        done = _exchange(subject, _answer)
        require(done.connect_ns > 0, "the time to connect is not measured")
        require(
            done.start_ns >= done.submitted_ns + done.connect_ns, "start_ns is before the connect"
        )

    def test_a_broken_answer_is_a_failure(self, subject: TransportSubject) -> None:
        """Half a body is never taken for a whole one."""
        done = _exchange(subject, _break_off)
        expected = (ErrorKind.TRUNCATED, ErrorKind.RESET, ErrorKind.PROTOCOL)
        require(done.error in expected, f"half an answer ended as {done.error!r}")
        require(bool(done.error_text), "the failure has no text")

    def test_a_refused_connection_is_named(self, subject: TransportSubject) -> None:
        """No listener: the exchange fails as `connect`."""
        done = _exchange(subject, _say_nothing, refuse=True)
        require(done.error == ErrorKind.CONNECT, f"a refused connection ended as {done.error!r}")

    def test_a_sweep_ends_what_took_too_long(self, subject: TransportSubject) -> None:
        """The transport is told the time; it has no timers of its own per request."""

        def sweep(transport: Any, _: Exchange) -> None:
            transport.sweep(time.monotonic_ns() + int(2 * _TIMEOUT_S * NS_PER_S))

        done = _exchange(subject, _say_nothing, sweep)
        require(done.error == ErrorKind.TIMEOUT_REQUEST, f"ended as {done.error!r}")

    def test_what_is_cancelled_says_so(self, subject: TransportSubject) -> None:
        """`cancel_all` ends everything in flight as cancelled."""
        done = _exchange(subject, _say_nothing, lambda transport, _: transport.cancel_all("stop"))
        require(done.cancelled, "a cancelled exchange is not marked")
        require(done.error == ErrorKind.CANCELLED, f"ended as {done.error!r}")

    def test_one_exchange_is_cancelled_on_the_wire(self, subject: TransportSubject) -> None:
        """`cancel` ends the exchange with its text, and the server sees the connection end."""
        gone = threading.Event()

        async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await _read_request(reader)
            with contextlib.suppress(ConnectionError):
                await reader.read()
            gone.set()

        def cancel(transport: Any, exchange: Exchange) -> None:
            transport.cancel(exchange, "enough")

        done = _exchange(subject, serve, cancel)
        require(done.cancelled, "a cancelled exchange is not marked")
        require(done.error == ErrorKind.CANCELLED, f"ended as {done.error!r}")
        require(done.error_text == "enough", f"the text is {done.error_text!r}")
        require(gone.is_set(), "the server was not told: the connection is still open")

    def test_cancelling_what_is_over_changes_nothing(self, subject: TransportSubject) -> None:
        """`cancel` may come after the end."""

        def cancel(transport: Any, exchange: Exchange) -> None:
            transport.cancel_all("first")
            transport.cancel(exchange, "second")

        done = _exchange(subject, _say_nothing, cancel)
        require(done.error_text == "first", f"the text is {done.error_text!r}")

    def test_who_asks_is_told_of_sends_and_reads(self, subject: TransportSubject) -> None:
        """`when_sent` once the request has left, `when_read` with what is there so far."""
        told: list[tuple[str, bytes]] = []

        def ask(exchange: Exchange) -> None:
            exchange.when_sent = lambda e: told.append(("sent", b"%d" % (e.sent_ns != MISSING)))
            exchange.when_read = lambda e: told.append(("read", b"".join(e.pieces)))

        done = _exchange(subject, _answer, first=ask)
        require(told[:1] == [("sent", b"1")], f"of the send was told {told[:1]}")
        seen = [body for kind, body in told if kind == "read"]
        require(_PARTS[0] in seen, "not told of the first part when it had come")
        require(b"".join(done.pieces) == b"".join(_PARTS), "asking changed the answer")
