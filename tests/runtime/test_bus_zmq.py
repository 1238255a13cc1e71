"""The bus at its sockets: strangers, nonsense, slow readers, bounds and keys."""

import asyncio
import stat

import msgspec
import pytest
import zmq

from steelyard.domain.bench.messages import FlushRecords, StopRun
from steelyard.kernel.codec import Envelope, encode
from steelyard.runtime.bus import BusError, CommandFailedError, MessageRegistry
from steelyard.runtime.bus_messages import Hello
from steelyard.runtime.bus_port import Parcel
from steelyard.runtime.bus_wire import to_frame
from steelyard.runtime.bus_zmq import (
    BusLimits,
    CurveKeys,
    ZmqBroker,
    ZmqClient,
)
from steelyard.runtime.socket_dir import (
    IPC_PATH_MAX,
    ipc_address,
    make_socket_dir,
    remove_socket_dir,
)


class Number(msgspec.Struct, frozen=True):
    value: int
    padding: bytes = b""


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.002)


@pytest.fixture
async def socket_dir():
    directory = make_socket_dir()
    yield directory
    remove_socket_dir(directory)


@pytest.fixture
async def broker(socket_dir):
    broker = ZmqBroker(ipc_address(socket_dir), "ctl", "boss", limits=BusLimits(queue_max=20))
    yield broker
    await broker.close()


@pytest.fixture
def raw(broker):
    """A socket that speaks ZeroMQ and knows nothing of Steelyard."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, b"evil")
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(broker.address)
    yield socket
    socket.close()
    context.term()


@pytest.fixture
async def client(broker):
    client = ZmqClient(broker.address, "good", "role", limits=BusLimits(queue_max=20))
    await until(lambda: "good" in broker.switchboard.members)
    yield client
    await client.close()


def envelope(**changes):
    fields = {"type": "StopRun", "payload": msgspec.Raw(encode(StopRun(drain=True)))}
    return encode(Envelope(**(fields | {"source": "evil", "target": "ctl"} | changes)))


HELLO = to_frame(Parcel(Hello("evil", "role"), "evil"))


@pytest.mark.parametrize(
    ("frames", "counted"),
    [
        ([[b""]], {"malformed": 1}),
        ([[b"\xff" * 100]], {"malformed": 1}),
        ([[b"\x81\xa4type"]], {"malformed": 1}),
        ([[b"a", b"b"]], {"malformed": 1}),
        ([[envelope()]], {"malformed": 1}),
        ([[HELLO], [envelope(source="good")]], {"malformed": 1}),
        ([[to_frame(Parcel(Hello("good", "role"), "good"))]], {"malformed": 1}),
        ([[HELLO], [envelope(type="os.system")]], {"unknown_type": 1}),
        ([[HELLO], [envelope(version=99)]], {"unknown_type": 1}),
        ([[HELLO], [envelope(payload=msgspec.Raw(b"\x01"))]], {"malformed": 1}),
        ([[HELLO], [envelope(target="nobody")]], {"unknown_target": 1}),
    ],
    ids=[
        "empty", "noise", "torn", "two frames", "no hello", "false source", "false hello",
        "unknown type", "unknown version", "wrong payload", "unknown target",
    ],
)  # fmt: skip
async def test_nonsense_on_the_socket_is_counted_dropped_and_harms_nobody(
    broker, raw, client, frames, counted, caplog
):
    async def answer(message):
        return StopRun(drain=True)

    for message in frames:
        raw.send_multipart(message)
    await until(lambda: broker.counters.losses() == counted)
    assert "dropped" in caplog.text or "refused" in caplog.text
    client.port.subscribe(FlushRecords, answer)
    assert await broker.port.command("good", FlushRecords(), timeout_s=60) == StopRun(drain=True)


async def test_a_role_that_gets_nonsense_drops_it_and_serves_on(broker, client):
    broker._socket.send_multipart([b"good", b"\xff\xff"])
    broker._socket.send_multipart([b"good", envelope(source="ctl", type="Unheard")])
    await until(lambda: client.port.counters.losses() == {"malformed": 1, "unknown_type": 1})

    async def answer(message):
        return StopRun(drain=True)

    client.port.subscribe(FlushRecords, answer)
    assert await broker.port.command("good", FlushRecords(), timeout_s=60) == StopRun(drain=True)


async def test_an_answer_or_a_command_that_cant_be_read_fails_the_command_at_once(broker, client):
    async def answer(message):
        return Number(1)

    client.port.subscribe(FlushRecords, answer)
    with pytest.raises(CommandFailedError, match=r"the answer can't be read: .* type 'Number'"):
        await broker.port.command("good", FlushRecords(), timeout_s=60)
    with pytest.raises(CommandFailedError, match="the message can't be read there"):
        await broker.port.command("good", Number(1), timeout_s=60)
    with pytest.raises(CommandFailedError, match="the message can't be read there"):
        await client.port.command("ctl", Number(1), timeout_s=60)


async def test_only_the_roles_of_the_run_may_join(socket_dir):
    broker = ZmqBroker(ipc_address(socket_dir), "ctl", "boss", allowed={"worker_1"})
    expected = ZmqClient(broker.address, "worker_1", "worker")
    stranger = ZmqClient(broker.address, "worker_2", "worker")
    await until(lambda: "worker_1" in broker.switchboard.members and broker.counters.malformed)
    assert set(broker.switchboard.members) == {"ctl", "worker_1"}
    for part in (expected, stranger, broker):
        await part.close()


async def test_a_slow_subscriber_loses_the_newest_counted_and_holds_nobody_up(broker):
    registry = MessageRegistry((Number,))
    slow = ZmqClient(broker.address, "slow", "s", registry=registry, limits=BusLimits(20))
    fast = ZmqClient(broker.address, "fast", "f", registry=registry)
    gate, at_slow, at_fast = asyncio.Event(), [], []

    async def wait(message):
        await gate.wait()
        at_slow.append(message.value)

    async def take(message):
        at_fast.append(message.value)

    slow.port.subscribe(Number, wait)
    fast.port.subscribe(Number, take)
    await until(lambda: len(broker.switchboard.recipients("Number", "ctl", "")) == 2)
    count = 600
    for value in range(count):
        # Padding fills the socket's buffer in the kernel, which is no bound of ours.
        await broker.port.publish(Number(value, bytes(8_000)))
        await until(lambda value=value: len(at_fast) == value + 1)
    assert at_fast == list(range(count))
    lost = broker.counters.dropped_full
    assert lost > 0
    gate.set()
    await until(lambda: len(at_slow) == count - lost)
    assert at_slow == sorted(at_slow)
    await slow.close()
    await fast.close()


async def test_a_message_for_a_role_that_went_is_counted_and_no_warning(broker, raw, caplog):
    caplog.set_level("INFO")
    raw.send(HELLO)
    await until(lambda: "evil" in broker.switchboard.members)
    raw.close()  # its end is told by who watches the processes, not by the bus
    await until(lambda: _lost_to(broker, "evil"))
    levels = {record.levelname for record in caplog.records if "evil is gone" in record.message}
    assert levels == {"INFO"}


def _lost_to(broker, service_id):
    broker.post(Parcel(StopRun(drain=True), "ctl", service_id))
    return broker.counters.unknown_target


async def test_a_sender_waits_for_a_slow_role_and_loses_nothing(broker):
    registry = MessageRegistry((Number,))
    slow = ZmqClient(broker.address, "slow", "s", registry=registry, limits=BusLimits(20))
    await until(lambda: "slow" in broker.switchboard.members)
    got = []

    async def handler(message):
        await asyncio.sleep(0.001)
        got.append(message.value)

    slow.port.subscribe(Number, handler)
    for value in range(400):
        await broker.port.send("slow", Number(value, bytes(20_000)))
    await until(lambda: len(got) == 400)
    assert got == list(range(400))
    assert broker.counters.waited_full > 0
    assert broker.counters.losses() == {}
    await slow.close()


async def test_a_message_over_the_bound_is_refused_where_it_is_sent(broker):
    client = ZmqClient(broker.address, "c", "r", limits=BusLimits(message_bytes_max=1000))
    with pytest.raises(BusError, match=r"a Number is too large for the bus; got '10.. bytes'"):
        await client.port.send("ctl", Number(1, bytes(1000)))
    assert client.port.counters.losses() == {"too_large": 1}
    await client.close()


async def test_a_member_is_seen_with_each_message(socket_dir):
    seen = []
    broker = ZmqBroker(ipc_address(socket_dir), "ctl", "boss", on_seen=seen.append)
    client = ZmqClient(broker.address, "c", "r")
    await until(lambda: seen == ["c"])
    await client.close()
    await broker.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://0.0.0.0:0", "inproc://x"])
async def test_an_address_that_leaves_the_file_system_needs_keys(address):
    with pytest.raises(BusError, match="needs keys"):
        ZmqBroker(address, "ctl", "boss")
    with pytest.raises(BusError, match="needs keys"):
        ZmqClient(address, "c", "r")


@pytest.mark.network
async def test_over_tcp_only_the_keys_of_the_run_get_through():
    keys, other = CurveKeys.generate(), CurveKeys.generate()
    broker = ZmqBroker("tcp://127.0.0.1:0", "ctl", "boss", keys=keys)
    got = []

    async def answer(message):
        got.append(message)
        return StopRun(drain=True)

    broker.port.subscribe(FlushRecords, answer)
    right = ZmqClient(broker.address, "right", "r", keys=keys)
    # It knows the broker's public key, but its own isn't the run's.
    stolen = CurveKeys(keys.server_public, b"", other.client_public, other.client_secret)
    wrong = ZmqClient(broker.address, "wrong", "r", keys=stolen)
    assert await right.port.command("ctl", FlushRecords(), timeout_s=60) == StopRun(drain=True)
    wrong.port.post("ctl", FlushRecords())
    await asyncio.sleep(0.3)
    assert "wrong" not in broker.switchboard.members
    assert len(got) == 1
    plain = zmq.Context()
    socket = plain.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(broker.address)
    socket.send(HELLO)
    await asyncio.sleep(0.2)
    assert set(broker.switchboard.members) == {"ctl", "right"}
    socket.close()
    plain.term()
    for part in (right, wrong, broker):
        await part.close()


@pytest.mark.network
async def test_a_broker_of_files_may_listen_on_tcp_too_where_the_keys_are_asked_for(
    broker, client, raw
):
    """Who comes by the file needs none, as before; who comes by tcp without is not heard."""
    keys = CurveKeys.generate()
    address = broker.listen("tcp://127.0.0.1:0", keys)
    assert not address.endswith(":0")
    assert broker.address.startswith("ipc://")

    async def answer(message):
        return StopRun(drain=True)

    far = ZmqClient(address, "far", "role", keys=keys)
    for each in (far, client):
        each.port.subscribe(FlushRecords, answer)
    await until(lambda: "far" in broker.switchboard.members)
    for target in ("far", "good"):
        answered = await broker.port.command(target, FlushRecords(), timeout_s=60)
        assert answered == StopRun(drain=True)
    assert await far.port.command("good", FlushRecords(), timeout_s=60) == StopRun(drain=True)
    raw.connect(address)
    raw.disconnect(broker.address)
    raw.send(HELLO)
    await asyncio.sleep(0.2)
    assert "evil" not in broker.switchboard.members
    await far.close()


class OneMore:
    """A border that adds one on every crossing."""

    def inbound(self, message):
        return Number(message.value + 1) if isinstance(message, Number) else message

    outbound = inbound


async def test_a_border_sees_what_a_role_sends_and_gets(broker):
    """Messages that are not its business, such as the role's first word, pass as they are."""
    got = asyncio.Queue()
    broker.port.subscribe(Number, got.put)
    role = ZmqClient(broker.address, "good", "role", border=OneMore())
    role.port.subscribe(Number, got.put)
    await role.port.send("ctl", Number(1))
    assert (await got.get()).value == 2
    await broker.port.send("good", Number(5))
    assert (await got.get()).value == 6
    await role.close()


def test_keys_do_not_show_in_a_repr():
    keys = CurveKeys.generate()
    assert keys.server_secret.decode() not in repr(keys)
    assert CurveKeys.generate() != keys


def test_the_socket_lies_in_a_private_directory_with_a_short_path(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    directory = make_socket_dir()
    assert not list(long.iterdir())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert len(ipc_address(directory).removeprefix("ipc://")) <= IPC_PATH_MAX
    remove_socket_dir(directory)
    remove_socket_dir(directory)
    assert not directory.exists()
