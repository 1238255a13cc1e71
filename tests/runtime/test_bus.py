"""What the bus promises, the same in one process and over ZeroMQ sockets."""

import asyncio
import itertools

import msgspec
import pytest

from steelyard.domain.bench.messages import ServiceLost
from steelyard.kernel.errors import UsageError
from steelyard.runtime.bus import (
    BusError,
    CommandFailedError,
    CommandTimeoutError,
    InlineHub,
    MessageRegistry,
)
from steelyard.runtime.bus_zmq import ZmqBroker, ZmqClient
from steelyard.runtime.socket_dir import ipc_address


class Ping(msgspec.Struct, frozen=True):
    number: int
    source: str = ""


class Pong(msgspec.Struct, frozen=True):
    number: int


class InlineNet:
    def __init__(self):
        self.hub = InlineHub(registry=MessageRegistry((Ping, Pong)))

    async def connect(self, service_id, service_type):
        return self.hub.connect(service_id, service_type)

    async def close(self):
        await self.hub.close()


class ZmqNet:
    def __init__(self, directory):
        self.registry = MessageRegistry((Ping, Pong))
        self.hub = ZmqBroker(ipc_address(directory), "ctl", "boss", registry=self.registry)
        self.clients = []

    async def connect(self, service_id, service_type):
        client = ZmqClient(self.hub.address, service_id, service_type, registry=self.registry)
        self.clients.append(client)
        await until(lambda: service_id in self.hub.switchboard.members)
        return client.port

    async def close(self):
        for client in self.clients:
            await client.close()
        await self.hub.close()


@pytest.fixture(params=["inline", "zmq"])
async def net(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("b")
    network = InlineNet() if request.param == "inline" else ZmqNet(directory)
    yield network
    await network.close()


async def until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.002)


def collect(port, message_type):
    got = []

    async def handler(message):
        got.append(message)

    port.subscribe(message_type, handler)
    return got


async def settle(net, *ports):
    """Wait until the subscriptions of `ports` are known: the broker sees them in order."""
    for number, port in enumerate(ports):
        answers = await net.connect(f"probe_{number}_{port.service_id}", "probe")

        async def answer(message):
            return Pong(message.number)

        answers.subscribe(Ping, answer)
        await port.command(answers.service_id, Ping(1), timeout_s=60)


async def test_a_command_returns_what_its_handler_returned(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")

    async def answer(message):
        return Pong(message.number + 1) if message.number else None

    b.subscribe(Ping, answer)
    assert await a.command("b1", Ping(41), timeout_s=60) == Pong(42)
    assert await a.command("b", Ping(1), timeout_s=60) == Pong(2), "by type"
    assert await a.command("b1", Ping(0), timeout_s=60) is None


async def test_a_command_without_an_answer_names_target_message_and_seconds(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")

    async def hang(message):
        await asyncio.Event().wait()

    b.subscribe(Ping, hang)
    with pytest.raises(CommandTimeoutError) as caught:
        await a.command("b1", Ping(1), timeout_s=0.05)
    error = caught.value
    assert (error.target, error.message, error.timeout_s) == ("b1", "Ping", 0.05)
    assert "'b1' did not answer Ping within 0.05 s" in str(error)


async def test_an_answer_that_comes_too_late_is_counted_and_harms_nobody(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")

    given_up = asyncio.Event()

    async def slow(message):
        await given_up.wait()
        return Pong(message.number)

    b.subscribe(Ping, slow)
    with pytest.raises(CommandTimeoutError):
        await a.command("b1", Ping(1), timeout_s=0.02)
    given_up.set()
    await until(lambda: a.counters.late_answers == 1)
    assert await a.command("b1", Ping(2), timeout_s=60) == Pong(2)


async def test_an_error_in_a_command_handler_reaches_who_asked(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")

    async def fail(message):
        raise ValueError(f"no {message.number}")

    b.subscribe(Ping, fail)
    with pytest.raises(CommandFailedError, match=r"ValueError: no 7 \(test_bus.py:\d+ in fail\)"):
        await a.command("b1", Ping(7), timeout_s=60)


async def test_an_error_in_a_message_handler_is_reported_and_the_next_message_handled(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")
    got, errors = [], []

    async def odd_only(message):
        if message.number % 2 == 0:
            raise ValueError(str(message.number))
        got.append(message.number)

    b.subscribe(Ping, odd_only)
    b.on_handler_error = lambda error, message: errors.append((str(error), message))
    for number in range(5):
        await a.send("b1", Ping(number))
    await until(lambda: len(got) + len(errors) == 5)
    assert got == [1, 3]
    assert errors == [("0", Ping(0)), ("2", Ping(2)), ("4", Ping(4))]


async def test_a_publication_reaches_subscribers_only_and_never_its_source(net):
    a, b, c = [await net.connect(f"{name}1", name) for name in "abc"]
    at_a, at_b, at_c = collect(a, Ping), collect(b, Ping), collect(c, Pong)
    await settle(net, a, b, c)
    await a.publish(Ping(1))
    await a.publish(Pong(2))
    await until(lambda: at_b and at_c)
    assert (at_a, at_b, at_c) == ([], [Ping(1)], [Pong(2)])
    assert c.counters.unhandled == 0, "the hub forwarded what nobody there subscribed to"


async def test_a_message_to_a_type_reaches_each_of_that_type(net):
    a = await net.connect("a1", "a")
    workers = [await net.connect(f"w{number}", "worker") for number in range(3)]
    boxes = [collect(worker, Ping) for worker in workers]
    await a.send("worker", Ping(5))
    await until(lambda: all(boxes))
    assert boxes == [[Ping(5)]] * 3


async def test_messages_of_one_sender_are_handled_in_order_one_at_a_time(net):
    target = await net.connect("t", "target")
    seen, running, overlap = {}, set(), []

    async def handler(message):
        overlap.extend([message.source] if message.source in running else [])
        running.add(message.source)
        await asyncio.sleep(0)
        seen.setdefault(message.source, []).append(message.number)
        running.discard(message.source)

    target.subscribe(Ping, handler)
    senders = [await net.connect(f"s{number}", "sender") for number in range(3)]

    async def send_all(port):
        for number in range(300):
            await port.send("t", Ping(number, port.service_id))

    await asyncio.gather(*(send_all(port) for port in senders))
    await until(lambda: sum(map(len, seen.values())) == 900)
    assert seen == {f"s{number}": list(range(300)) for number in range(3)}
    assert overlap == []


async def test_a_command_begins_after_the_messages_sent_before_it(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")
    got = []

    async def slow(message):
        await asyncio.sleep(0.01)
        got.append(message.number)

    async def count(message):
        return Pong(len(got))

    b.subscribe(Ping, slow)
    b.subscribe(Pong, count)
    for number in range(5):
        await a.send("b1", Ping(number))
    assert await a.command("b1", Pong(0), timeout_s=60) == Pong(5)


async def test_two_services_may_command_each_other_from_their_handlers(net):
    a, b = await net.connect("a1", "a"), await net.connect("b1", "b")

    async def ask_back(message):
        answer = await b.command("a1", Ping(message.number), timeout_s=60)
        return Pong(answer.number + 1)

    async def answer(message):
        return Pong(message.number * 10)

    a.subscribe(Ping, answer)
    b.subscribe(Ping, ask_back)
    assert await a.command("b1", Ping(4), timeout_s=60) == Pong(41)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("workr", "no service 'workr' on the bus (known: a, a1"),
        ("workr", "Did you mean 'worker'?"),
        ("worker", "2 services are of type 'worker'; a command names one by its id"),
        ("w0", "no handler for Ping"),
    ],
)
async def test_a_command_that_nobody_can_take_fails_at_once_with_the_reason(net, target, told):
    a = await net.connect("a1", "a")
    for number in range(2):
        await net.connect(f"w{number}", "worker")
    with pytest.raises(CommandFailedError) as caught:
        await a.command(target, Ping(1), timeout_s=60)
    assert told in str(caught.value)


async def test_a_message_to_nobody_is_counted(net):
    a = await net.connect("a1", "a")
    await a.send("nobody", Ping(1))
    await until(lambda: net.hub.counters.losses() == {"unknown_target": 1})


async def test_the_loss_of_a_service_fails_the_commands_that_wait_for_it(net):
    a, b, boss = [await net.connect(name, name) for name in ("a1", "b1", "boss1")]
    begun = asyncio.Event()

    async def hang(message):
        begun.set()
        await asyncio.Event().wait()

    b.subscribe(Ping, hang)
    waiting = asyncio.ensure_future(a.command("b1", Ping(1), timeout_s=60))
    await begun.wait()
    await boss.publish(ServiceLost("b1", "b1", 0, "killed by SIGKILL", 1))
    with pytest.raises(CommandFailedError, match="b1 is gone: killed by SIGKILL"):
        await asyncio.wait_for(waiting, 30)


async def test_a_full_inbox_holds_senders_back_and_loses_publications():
    hub = InlineHub(registry=MessageRegistry(), inbox_max=10)
    sender, slow = hub.connect("a1", "a"), hub.connect("b1", "b")
    gate, got = asyncio.Event(), []

    async def handler(message):
        await gate.wait()
        got.append(message.number)

    slow.subscribe(Ping, handler)
    for number in range(50):
        await sender.publish(Ping(number))
        await asyncio.sleep(0)
    assert hub.counters.dropped_full == 39, "one in the handler, ten queued"
    held_back = asyncio.ensure_future(sender.send("b1", Ping(99)))
    await asyncio.sleep(0.02)
    assert not held_back.done()
    gate.set()
    await asyncio.wait_for(held_back, 60)
    await until(lambda: len(got) == 12)
    assert got == [*range(11), 99]
    await hub.close()


async def test_a_way_that_stays_full_is_an_error_for_the_sender(monkeypatch):
    monkeypatch.setattr("steelyard.runtime.bus.SEND_WAIT_S", 0.05)
    hub = InlineHub(registry=MessageRegistry(), inbox_max=1)
    sender, stuck = hub.connect("a1", "a"), hub.connect("b1", "b")
    begun = asyncio.Event()

    async def hang(message):
        begun.set()
        await asyncio.Event().wait()

    stuck.subscribe(Ping, hang)
    await sender.send("b1", Ping(0))
    await begun.wait()
    await sender.send("b1", Ping(1))
    with pytest.raises(BusError, match=r"'b1' took in no message for 0.05 s"):
        await sender.send("b1", Ping(2))
    await hub.close()


def test_two_message_types_of_one_name_are_refused():
    other = msgspec.defstruct("Ping", [("other", int)])
    with pytest.raises(UsageError, match="two message types are called 'Ping'"):
        MessageRegistry((Ping, other))
    assert MessageRegistry((Ping, Ping)).type_of("Ping") is Ping


def test_every_message_of_the_benchmark_may_travel():
    from steelyard.domain.bench import messages
    from steelyard.runtime.bus import MESSAGES

    defined = [
        value
        for value in vars(messages).values()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == messages.__name__
    ]
    assert len(defined) >= 20
    assert all(MESSAGES.type_of(cls.__name__) is cls for cls in defined)
    assert all(cls.__struct_config__.frozen for cls in defined)
    names = itertools.chain(cls.__name__ for cls in defined)
    assert len(set(names)) == len(defined)


async def test_a_command_that_comes_while_a_service_closes_is_refused_and_not_begun(net):
    """Else its answer would come when the way is closed, as an exception of a callback."""
    asker, closing = await net.connect("a1", "a"), await net.connect("b1", "b")
    begun, asked = [], asyncio.Event()

    async def handler(message):
        begun.append(message.number)
        try:
            await asyncio.Event().wait()
        finally:
            await asked.wait()

    closing.subscribe(Ping, handler)
    first = asyncio.ensure_future(asker.command("b1", Ping(1), timeout_s=60))
    await until(lambda: begun)
    end = asyncio.ensure_future(closing.close())
    await asyncio.sleep(0.02)
    with pytest.raises(CommandFailedError, match="the service is stopping"):
        await asker.command("b1", Ping(2), timeout_s=60)
    assert (begun, end.done()) == ([1], False)
    asked.set()
    with pytest.raises(CommandFailedError, match="the service is stopping"):
        await first
    await end
