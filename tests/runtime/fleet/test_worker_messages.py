"""A worker whose words are no messages is ended, told of with the reason, and replaced."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
import ray
from local_rig import LocalRig, gone, processes_of

from steelyard.domain.fleet.model import Ending, Lease, TaskSpec
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError
from steelyard.runtime.fleet import ray_worker
from steelyard.runtime.fleet.output_files import Found
from steelyard.runtime.fleet.ray_agent import AgentSettings, Ready
from steelyard.runtime.fleet.ray_outputs import NodeOutputs
from steelyard.runtime.fleet.ray_worker import RayWorker


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"\0\0\0\1\xc1", "it said what is no message (MessagePack data is malformed"),
        (b"\xff\xff\xff\xff", "it said what is no message (4294967295 bytes announced, at most"),
    ],
)
async def test_a_local_worker_that_makes_no_sense_is_told_of_and_replaced(tmp_path, said, problem):
    async with LocalRig(tmp_path) as rig:
        await rig.submit("echo $$ > pids; sleep 60")
        attempt = await rig.until(lambda: processes_of(tmp_path, "t1"))
        rig.engine._workers["local"]._process.stdout.feed_data(said)
        (died,) = await rig.until(lambda: rig.said("worker_died"))
        assert died.reason.startswith(problem)
        assert died.reason.endswith("and was ended")
        assert not gone(attempt), "what it ran has ended with it"
        await rig.until(lambda: rig.said("worker_joined"))
        assert (await rig.run("echo again")).result["stdout"] == "again\n"


class Call:
    """A method of an actor; returns what it is to return, encoded or not."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def remote(self, *_):
        async def answer():
            if not self.answers:
                await asyncio.Event().wait()
            return self.answers.pop(0)

        return answer()


@pytest.fixture
def killed(monkeypatch):
    """Agents that Ray was told to kill."""
    agents = []
    monkeypatch.setattr(ray, "kill", agents.append)
    return agents


class Node(RayWorker):
    """A node whose agents are made by the test, one after the other."""

    def __init__(self, *agents, events):
        self.agents = list(agents)
        super().__init__("n", AgentSettings(worker_id="w", fleet="f"), None, events)

    async def _start(self):
        if not self.agents:
            raise SteelyardError("no more")
        self._agent = self.agents.pop(0)
        return Ready(capabilities=Capabilities(), slots=1)


async def test_an_agent_that_makes_no_sense_is_told_of_killed_and_replaced(killed, monkeypatch):
    """As one of another version; its coordinator would have gone deaf to the node for good."""
    monkeypatch.setattr(ray_worker, "_AGAIN_S", (0.0,))
    first = SimpleNamespace(poll=Call(msgspec.msgpack.encode([{"seq": "one"}])))
    second = SimpleNamespace(poll=Call())
    events = asyncio.Queue()
    node = Node(first, second, events=events)
    async with asyncio.timeout(20):
        joined, died, again = [await events.get() for _ in range(3)]
    assert (joined.kind, died.kind, again.kind) == (
        "worker_joined", "worker_died", "worker_joined",
    )  # fmt: skip
    assert died.reason.startswith("its agent said what is no message (Expected `int`")
    assert "Install the same version of Steelyard on the node and here" in died.reason
    assert killed == [first]
    await node._quit()


async def test_an_order_that_is_answered_by_no_message_is_refused(killed):
    agent = SimpleNamespace(poll=Call(), submit=Call(b"\xc1"))
    events = asyncio.Queue()
    node = Node(agent, events=events)
    lease = Lease(task_id="t", worker_id="w", attempt=1, token=1)
    async with asyncio.timeout(20):
        await events.get()
        node.begin(lease, TaskSpec(task_id="t", kind="command"))
        refused = await events.get()
    assert refused.outcome.ending is Ending.REFUSED
    assert "said what is no message" in refused.outcome.error
    await node._quit()


@pytest.mark.parametrize("said", [b"\xc1", msgspec.msgpack.encode("no list")])
def test_a_node_whose_files_are_told_by_no_message_is_one_out_of_reach(monkeypatch, said):
    """Nothing else catches what comes of it: its coordinator would have ended."""
    monkeypatch.setattr(ray, "get", lambda _, **__: said)
    agent = SimpleNamespace(outputs=SimpleNamespace(remote=lambda *_: None))
    with pytest.raises(EndpointUnreachableError, match="The agent of w said what is no message"):
        next(NodeOutputs("w", agent).parts())


@pytest.mark.parametrize("sizes", [[], [1, 2]])
def test_a_node_that_tells_of_more_or_fewer_sizes_is_one_out_of_reach(monkeypatch, sizes):
    monkeypatch.setattr(ray, "get", lambda _, **__: msgspec.msgpack.encode(sizes))
    agent = SimpleNamespace(output_sizes=SimpleNamespace(remote=lambda *_: None))
    with pytest.raises(EndpointUnreachableError, match=f"sizes of {len(sizes)} directories"):
        NodeOutputs("w", agent).sizes([Found("t")])
