"""Workers are spread over machines, and each that ends is told with its machine and the reason."""

import asyncio
from collections import Counter

import msgspec
import pytest

from steelyard.app import placing_engine
from steelyard.app.placing_engine import EnginePlacement, Node, spread
from steelyard.domain.bench.plan import EndpointPlan, EnginePlan, Plan, RemotePlan
from steelyard.domain.fleet.model import Ending, Outcome
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import ConfigError, EndpointUnreachableError, UsageError
from steelyard.runtime.join import JOIN_VARIABLE, Join

SECRET = "s3cret-key-of-the-run"
BENCH = Capabilities(labels={"role": "bench"})


def plan_with(tmp_path, wait_s=60.0, **engine):
    return Plan(
        run_id="r", models=("m",), endpoint=EndpointPlan(), phases=(), run_type="ray",
        artifact_dir=str(tmp_path), remote=RemotePlan(join_timeout_s=wait_s),
        engine=EnginePlan(**engine),
    )  # fmt: skip


def joins_of(count):
    join = Join(
        run_id="r", addresses=("tcp://127.0.0.1:9",), controller_id="c",
        service_ids=tuple(f"worker_{n}" for n in range(count)), server_public="p",
        client_public="q", client_secret=SECRET,
    )  # fmt: skip
    return [join.for_worker(index) for index in range(count)]


class ScriptedEngine:
    """Brings what a test says, and remembers what it was given."""

    def __init__(self, *workers):
        self.workers = workers
        self.events = asyncio.Queue()
        self.given = []
        self.is_stopped = False

    async def start(self):
        return self.workers

    async def submit(self, lease, spec):
        self.given.append((lease, spec))

    async def cancel(self, lease):
        raise AssertionError("workers end with their run, or with the engine")

    async def next_event(self):
        event = await self.events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def stop(self):
        self.is_stopped = True

    def says(self, kind, **more):
        self.events.put_nowait(EngineEvent(kind=kind, **more))

    def ended(self, number, **outcome):
        lease = self.given[number][0]
        self.says("ended", lease=lease, outcome=Outcome(**outcome))


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Waits of seconds are hundredths here."""
    for name in ("SETTLE_S", "END_WITHIN_S"):
        monkeypatch.setattr(placing_engine, name, 0.05)


def made(tmp_path, engine, notes=None, **more):
    note = notes.append if notes is not None else (lambda _: None)
    return EnginePlacement(plan_with(tmp_path, **more), note, engine)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("slots", "workers", "expected"),
    [
        ({"a": 4, "b": 4, "c": 4}, 8, {"a": 3, "b": 3, "c": 2}),
        ({"a": 16, "b": 4}, 10, {"a": 6, "b": 4}),
        ({"a": 1, "b": 9, "c": 1}, 5, {"a": 1, "b": 3, "c": 1}),
        ({"a": 2}, 2, {"a": 2}),
    ],
)
def test_workers_are_spread_evenly_where_there_is_room(slots, workers, expected):
    nodes = [Node(name, room, Capabilities()) for name, room in slots.items()]
    placed = spread(range(workers), nodes)
    assert Counter(node.name for node in placed.values()) == expected
    assert sorted(index for node in nodes for index in node.placed) == list(range(workers))


def test_the_order_in_which_machines_came_changes_nothing():
    def places(names):
        nodes = [Node(name, 2, Capabilities()) for name in names]
        return {index: node.name for index, node in spread(range(3), nodes).items()}

    assert places("abc") == places("cba")


async def test_each_worker_is_one_attempt_under_a_lease_of_its_own(tmp_path):
    engine = ScriptedEngine(("n1", BENCH, 2), ("n2", BENCH, 2))
    placement = made(tmp_path, engine)
    await placement.place(joins_of(3), lambda *_: None)
    leases = [lease for lease, _ in engine.given]
    assert [lease.worker_id for lease in leases] == ["n1", "n2", "n1"]
    assert len({lease.token for lease in leases}) == len({lease.task_id for lease in leases}) == 3
    for index, (_, spec) in enumerate(engine.given):
        assert Join.decode(spec.payload["env"][JOIN_VARIABLE]).index == index
        assert spec.timeout_s == float("inf")
    for _ in engine.given:
        engine.ended(_[0].token - 1, ending=Ending.SUCCEEDED)
    await placement.stop()
    assert engine.is_stopped


async def test_the_keys_are_in_the_environment_and_nowhere_else(tmp_path):
    """Of the specification that goes to the engine, no other field has any of the join."""
    engine = ScriptedEngine(("n1", BENCH, 1))
    placement = made(tmp_path, engine)
    (join,) = joins_of(1)
    await placement.place([join], lambda *_: None)
    ((_, spec),) = engine.given
    rest = msgspec.structs.replace(spec, payload={**spec.payload, "env": {}})
    assert join.encode() not in str(msgspec.to_builtins(rest))
    assert SECRET not in str(msgspec.to_builtins(rest))
    assert set(spec.payload["env"]) == {JOIN_VARIABLE}
    await placement.stop()


async def test_what_ends_is_told_with_its_machine_and_why(tmp_path):
    engine = ScriptedEngine(("n1", BENCH, 2), ("n2", BENCH, 2))
    placement = made(tmp_path, engine)
    lost = []
    await placement.place(joins_of(4), lambda index, reason: lost.append((index, reason)))
    engine.ended(0, ending=Ending.FAILED, error="exit code 4: nobody listens")
    engine.says("worker_died", worker_id="n2", reason="its Ray node is dead")
    await until(lambda: len(lost) == 3)
    assert lost == [
        (0, "its attempt on n1 ended: exit code 4: nobody listens"),
        (1, "its node n2 died: its Ray node is dead"),
        (3, "its node n2 died: its Ray node is dead"),
    ]
    await placement.stop()


async def test_an_engine_that_is_gone_takes_all_of_its_workers_with_it(tmp_path):
    engine = ScriptedEngine(("n1", BENCH, 2))
    placement = made(tmp_path, engine)
    lost = []
    await placement.place(joins_of(2), lambda index, reason: lost.append((index, reason)))
    engine.events.put_nowait(EndpointUnreachableError("The head does not answer"))
    await until(lambda: len(lost) == 2)
    assert {reason for _, reason in lost} == {"its engine is gone: The head does not answer."}
    await placement.stop()
    assert engine.is_stopped


async def test_machines_that_come_later_are_waited_for_and_used(tmp_path, monkeypatch):
    """As the nodes of a cluster do, one after the other; the person sees what is waited for."""
    monkeypatch.setattr(placing_engine, "SETTLE_S", 60.0)
    engine, notes = ScriptedEngine(), []
    placement = made(tmp_path, engine, notes)
    placing = asyncio.create_task(placement.place(joins_of(4), lambda *_: None))
    for name in ("n1", "n2", "n3"):
        await asyncio.sleep(0.02)
        engine.says("worker_joined", worker_id=name, capabilities=BENCH, slots=2)
    await until(lambda: len(placement._nodes) == 3)
    assert engine.given == [], "others may come yet"
    monkeypatch.setattr(placing_engine, "SETTLE_S", 0.0)
    placement._changed.set()
    await placing
    assert Counter(lease.worker_id for lease, _ in engine.given) == {"n1": 2, "n2": 1, "n3": 1}
    assert notes[0] == "waiting for machines for 4 workers: no machine has come yet"
    assert notes[-1] == "workers are placed: 2 on n1, 1 on n2, 1 on n3"
    await placement.stop()


async def test_without_room_it_says_what_there_is_and_what_helps(tmp_path):
    engine = ScriptedEngine(("n1", BENCH, 3), ("n2", Capabilities(), 9))
    placement = made(tmp_path, engine, wait_s=0.1, labels={"role": "bench"})
    with pytest.raises(UsageError, match="no room for 4 workers") as caught:
        await placement.place(joins_of(4), lambda *_: None)
    text = str(caught.value)
    assert "n1 takes 3" in text
    assert "n2: label role is not set, not bench" in text
    assert "--slots" in text
    assert engine.given == []
    await placement.stop()
    assert engine.is_stopped


async def test_without_any_machine_it_says_how_they_come(tmp_path):
    placement = made(tmp_path, ScriptedEngine(), wait_s=0.1)
    with pytest.raises(EndpointUnreachableError, match="steelyard fleet join"):
        await placement.place(joins_of(1), lambda *_: None)
    await placement.stop()


async def test_an_engine_that_fails_while_machines_are_waited_for_ends_the_wait(tmp_path):
    engine = ScriptedEngine()
    engine.events.put_nowait(EndpointUnreachableError("The head does not answer"))
    placement = made(tmp_path, engine)
    with pytest.raises(EndpointUnreachableError, match="does not answer"):
        await placement.place(joins_of(1), lambda *_: None)
    await placement.stop()


async def test_what_never_began_needs_no_end(tmp_path):
    engine = ScriptedEngine()
    await made(tmp_path, engine).stop()
    assert not engine.is_stopped


def test_wrong_options_of_an_engine_are_the_users(tmp_path):
    with pytest.raises(ConfigError, match="slot"):
        EnginePlacement(plan_with(tmp_path, name="local", options={"slot": 2}))


async def test_a_worker_without_a_run_fails_on_a_real_engine_and_leaves_no_key(tmp_path, capfd):
    """On the local engine: the reason is the worker's own, and no file has the join."""
    plan = plan_with(tmp_path, name="local", options={"slots": 2, "detect": False})
    placement = EnginePlacement(plan, lambda _: None)
    lost = []
    (join,) = joins_of(1)
    await placement.place([join], lambda index, reason: lost.append((index, reason)))
    async with asyncio.timeout(100):
        while not lost:
            await asyncio.sleep(0.02)
    await placement.stop()
    ((index, reason),) = lost
    assert index == 0
    assert reason.startswith("its attempt on local ended: ")
    assert "Nobody listens for workers of run r" in reason
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Nobody listens" in kept
    assert join.encode().encode() not in kept
    assert SECRET.encode() not in kept
    assert SECRET not in capfd.readouterr().err
