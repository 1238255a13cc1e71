"""Names, address families and Unix sockets: how a connection comes about."""

import asyncio
import socket
import time
from contextlib import closing

import pytest
from scripted_server import OK, WAIT_S, Rig, always

from steelyard.builtin.transport.http1 import dial
from steelyard.builtin.transport.http1.dial import STAGGER_S, Dialer, SetupTimes, interleaved
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.domain.bench.targets import parse_target

V4, V6 = socket.AF_INET, socket.AF_INET6


def rows(*addresses):
    """Return what getaddrinfo says of these addresses."""
    return [(V6 if ":" in a[0] else V4, socket.SOCK_STREAM, 6, "", a) for a in addresses]


@pytest.fixture
def listening():
    """Return a listener on 127.0.0.1 that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@pytest.fixture
def silent():
    """Return the address of a listener whose queue is full: connecting to it just takes long."""
    with socket.socket() as server, socket.socket() as first:
        server.bind(("127.0.0.2", 0))
        server.listen(0)
        first.connect(server.getsockname())
        yield server.getsockname()


@pytest.fixture
def refused():
    """Return an address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.3", 0))
        yield probe.getsockname()


async def dialed(monkeypatch, *addresses):
    """Dial a name that resolves to `addresses`; return the dialer, the peer and the seconds."""
    loop = asyncio.get_running_loop()

    async def resolve(*_, **__):
        return rows(*addresses)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    dialer = Dialer(EndpointPlan(), [parse_target("http://server.test:80")], loop)
    begun = time.monotonic()
    times = SetupTimes()
    connection = await dialer.dial(0, times)
    with closing(connection.sock) as sock:
        return dialer, sock.getpeername(), time.monotonic() - begun


def test_families_take_turns() -> None:
    """The resolver's first address stays first, and the other family's is next."""
    found = interleaved([(V6, "a"), (V6, "b"), (V6, "c"), (V4, "d"), (V4, "e")])
    assert [address for _, address in found] == ["a", "d", "b", "e", "c"]


async def test_a_refused_address_is_passed_over_at_once(monkeypatch, refused, listening) -> None:
    """A refusal is an answer: there is nothing to wait for, however long the head start is."""
    monkeypatch.setattr(dial, "STAGGER_S", 2 * WAIT_S)
    _, peer, seconds = await dialed(monkeypatch, refused, listening)
    assert peer == listening
    assert seconds < WAIT_S


async def test_a_silent_address_holds_the_next_one_up_for_its_head_start_only(
    monkeypatch, silent, listening
) -> None:
    """250 ms later the next address is tried; what answered is asked first from then on."""
    dialer, peer, seconds = await dialed(monkeypatch, silent, listening)
    assert peer == listening
    assert STAGGER_S * 0.9 <= seconds < WAIT_S
    monkeypatch.setattr(dial, "STAGGER_S", 2 * WAIT_S)
    begun = time.monotonic()
    (await dialer.dial(0, SetupTimes())).sock.close()
    assert time.monotonic() - begun < WAIT_S


async def test_when_every_address_refuses_the_request_fails(monkeypatch, refused) -> None:
    """The kind says that it was connecting that failed."""
    async with Rig(always(OK)) as rig:

        async def resolve(*_, **__):
            return rows(refused, ("127.0.0.4", refused[1]))

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        ended = await rig.send()
    assert ended.error == ErrorKind.CONNECT
    assert "connecting failed" in ended.error_text


async def test_a_name_that_nobody_knows_is_a_kind_of_its_own(monkeypatch) -> None:
    """DNS is told apart from connecting."""
    async with Rig(always(OK)) as rig:

        async def unknown(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
        ended = await rig.send()
    assert ended.error == ErrorKind.DNS
    assert "Name or service not known" in ended.error_text


async def test_the_steps_to_a_connection_are_timed_apart(listening, monkeypatch) -> None:
    """Resolving is paid once, connecting each time, TLS not at all here."""
    loop = asyncio.get_running_loop()
    resolve, asked = loop.getaddrinfo, []

    async def late(*words, **more):
        asked.append(words)
        await asyncio.sleep(0.05)
        return await resolve(*words, **more)

    monkeypatch.setattr(loop, "getaddrinfo", late)
    dialer = Dialer(EndpointPlan(), [parse_target(f"http://localhost:{listening[1]}")], loop)
    first, second = SetupTimes(), SetupTimes()
    for times in (first, second):
        (await dialer.dial(0, times)).sock.close()
    assert len(asked) == 1
    assert first.dns_ns > 40_000_000
    assert first.connect_ns > 0
    assert second.connect_ns > 0
    assert first.tls_ns == second.tls_ns == 0


async def test_ipv6() -> None:
    """An address in brackets is connected to as it is."""
    try:
        server = await asyncio.start_server(lambda _r, w: w.close(), "::1", 0)
    except OSError as error:
        pytest.skip(f"this host has no IPv6 loopback: {error}")
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    dialer = Dialer(EndpointPlan(), [parse_target(f"http://[::1]:{port}")], loop)
    with (await dialer.dial(0, SetupTimes())).sock as sock:
        assert sock.getpeername()[:2] == ("::1", port)
    server.close()


async def test_a_unix_socket_carries_requests_without_kernel_stamps(tmp_path) -> None:
    """Linux stamps no Unix sockets, so the rows say that user space did."""
    async with Rig(always(OK), unix=str(tmp_path / "s.sock")) as rig:
        first, second = await rig.send(), await rig.send()
    assert (first.error, first.pieces) == (ErrorKind.NONE, [b"ok"])
    assert second.conn_reused
    assert not first.kernel_stamped
    assert first.start_ns < first.first_byte_ns <= first.end_ns
