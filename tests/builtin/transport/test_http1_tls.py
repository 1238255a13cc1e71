"""TLS over the stamped socket: who is believed, what a record says, what may end an answer."""

import asyncio
import socket
import ssl

import pytest
import trustme
from scripted_server import CHUNKED, OK, Rig, always, exchange, server_tls

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.kernel.errors import UsageError
from steelyard.runtime.tls import client_context


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    return server_tls(authority, "localhost")


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_a_trusted_server_is_measured_with_kernel_stamps(tls, ca_file) -> None:
    """The handshake has a column of its own; a kept connection pays it once."""
    async with Rig(always(CHUNKED), tls=tls, ca_file=ca_file) as rig:
        first, second = await rig.send(), await rig.send()
    assert first.error == ErrorKind.NONE, first.error_text
    assert b"".join(first.pieces) == b"hello world"
    assert first.tls_ns > 100_000
    assert first.kernel_stamped
    assert first.start_ns <= first.sent_ns < first.first_byte_ns <= first.end_ns
    assert first.bytes_received > len(CHUNKED)
    assert second.conn_reused
    assert second.tls_ns == 0


async def test_session_tickets_do_not_end_a_connection_opened_ahead(tls, ca_file) -> None:
    """TLS 1.3 sends them when it likes: they are no answer to anything."""
    async with Rig(always(OK), tls=tls, ca_file=ca_file) as rig:
        await rig.transport.open(1)
        await asyncio.sleep(0.05)
        ended = await rig.send()
        assert rig.connections == 1
    assert ended.error == ErrorKind.NONE
    assert ended.connect_ns == 0


async def test_an_unknown_authority_is_a_tls_failure(tls) -> None:
    """Nothing was sent, and the text says what to do."""
    async with Rig(always(OK), tls=tls) as rig:
        ended = await rig.send()
    assert (ended.error, ended.start_ns) == (ErrorKind.TLS, MISSING)
    assert "not trusted" in ended.error_text
    assert "--ca-file" in ended.error_text
    assert ended.connect_ns > 0


async def test_a_certificate_for_another_name_is_a_tls_failure(authority, ca_file) -> None:
    """Known or not: the name has to be the server's."""
    tls = server_tls(authority, "elsewhere.test")
    async with Rig(always(OK), tls=tls, ca_file=ca_file) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TLS
    assert "localhost" in ended.error_text


async def test_insecure_takes_any_certificate(authority) -> None:
    """Neither name nor authority are looked at."""
    tls = server_tls(authority, "elsewhere.test")
    async with Rig(always(OK), tls=tls, insecure=True) as rig:
        ended = await rig.send()
    assert (ended.error, ended.pieces) == (ErrorKind.NONE, [b"ok"])


async def test_the_bundle_that_the_environment_names_is_believed(tls, ca_file, monkeypatch) -> None:
    """SSL_CERT_FILE, as every OpenSSL client has it."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with Rig(always(OK), tls=tls) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.NONE


async def test_the_server_hears_which_name_is_wanted(tls, ca_file) -> None:
    """SNI carries the host of the URL."""
    names = []
    tls.sni_callback = lambda _connection, name, _context: names.append(name)
    async with Rig(always(OK), tls=tls, ca_file=ca_file) as rig:
        await rig.send()
    assert names == ["localhost"]


async def test_a_server_without_tls_is_told_apart() -> None:
    """The usual mistake: https:// to a port that speaks http."""

    async def handler(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with Rig(handler) as plain:
        url = plain.url.replace("http:", "https:")
        async with Rig(always(OK), urls=(url,)) as rig:
            ended = await rig.send()
    assert ended.error == ErrorKind.TLS
    assert "does not speak TLS" in ended.error_text


async def test_a_server_that_hangs_up_in_the_handshake_is_a_tls_failure() -> None:
    """A reset or an end before TLS was agreed on."""

    async def handler(reader, _writer):
        await reader.read(10)

    async with Rig(handler) as plain:
        url = plain.url.replace("http:", "https:")
        async with Rig(always(OK), urls=(url,)) as rig:
            ended = await rig.send()
    assert ended.error == ErrorKind.TLS
    assert ended.error_text


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
async def test_bodies_over_many_records_and_reads(tls, ca_file, size) -> None:
    """Whatever way records and reads cut them; large requests too."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def handler(reader, writer):
        received = await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + received)
        await writer.drain()
        await reader.read()

    async with Rig(handler, tls=tls, ca_file=ca_file) as rig:
        ended = await rig.send(request=body)
    assert ended.error == ErrorKind.NONE, ended.error_text
    assert b"".join(ended.pieces) == body


async def test_an_announced_end_is_the_end_of_a_body(tls, ca_file) -> None:
    """A close_notify behind a body without a length says that it is whole."""

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with Rig(handler, tls=tls, ca_file=ca_file) as rig:
        ended = await rig.send()
    assert (ended.error, b"".join(ended.pieces)) == (ErrorKind.NONE, b"all of it")


async def test_a_cut_connection_is_not_the_end_of_a_body(tls, ca_file) -> None:
    """Without a close_notify anybody on the way can have cut it (RFC 9112, 9.8)."""

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await asyncio.sleep(0.05)
        writer.transport.abort()  # closes below TLS

    async with Rig(handler, tls=tls, ca_file=ca_file) as rig:
        ended = await rig.send()
    assert ended.error in {ErrorKind.TRUNCATED, ErrorKind.RESET}
    assert b"".join(ended.pieces) == b"half of it"


async def test_a_garbled_record_is_a_tls_failure(tls, ca_file) -> None:
    """Bytes changed on their way break the session, not the run."""

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        sock = writer.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(sock.fileno())) as below:
            below.send(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)
        await asyncio.sleep(0.1)

    async with Rig(handler, tls=tls, ca_file=ca_file) as rig:
        ended = await rig.send()
    assert ended.error == ErrorKind.TLS
    assert "TLS failed" in ended.error_text


async def test_a_connection_closed_while_idle_is_replaced(tls, ca_file) -> None:
    """Announced or not, as without TLS."""

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with Rig(handler, tls=tls, ca_file=ca_file) as rig:
        first = await rig.send()
        await asyncio.sleep(0.05)
        second = await rig.send()
    assert [first.error, second.error] == [ErrorKind.NONE, ErrorKind.NONE]
    assert first.conn_id != second.conn_id


async def test_a_handshake_that_never_comes_is_over_with_the_time_to_connect() -> None:
    """The bound is on the whole way to a connection."""
    async with Rig(lambda r, w: r.read()) as plain:
        url = plain.url.replace("http:", "https:")
        async with Rig(always(OK), urls=(url,), connect_timeout_s=0.1) as rig:
            begun = exchange()
            rig.transport.submit(begun)
            await asyncio.sleep(0.15)
            rig.transport.sweep(begun.submitted_ns + 150_000_000)
            ended = await rig.sink.next()
    assert ended.error == ErrorKind.TIMEOUT_CONNECT


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_read_is_said_before_anything_is_sent(tmp_path, content) -> None:
    """The file is named, and what was expected."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="CA certificates") as caught:
        client_context(EndpointPlan(ca_file=str(path)))
    assert str(path) in str(caught.value)


def test_verification_is_on_unless_it_is_turned_off() -> None:
    """Both the chain and the name."""
    context = client_context(EndpointPlan())
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    context = client_context(EndpointPlan(insecure=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
