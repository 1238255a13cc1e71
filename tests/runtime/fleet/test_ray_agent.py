"""What an agent says of its node's attempts is true when it is heard of, however late that is."""

import asyncio

import msgspec

from steelyard.domain.fleet.model import Ending, Lease, Outcome
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.runtime.fleet import ray_agent
from steelyard.runtime.fleet.attempt_logs import attempt_directory, log_path
from steelyard.runtime.fleet.ray_agent import AgentSettings, NodeAgent, Said

LEASE = Lease(task_id="t", worker_id="w", attempt=1, token=7)


class Engine:
    """Says what a test has it say."""

    def __init__(self):
        self.events = asyncio.Queue()

    async def next_event(self):
        return await self.events.get()


async def test_an_attempt_whose_logs_are_still_on_their_way_is_not_missed(tmp_path, monkeypatch):
    """Two heartbeats without it, and the coordinator would take it for lost: its result too."""
    monkeypatch.setattr(ray_agent, "UNSEEN_MAX", 1_000)
    agent = NodeAgent(msgspec.msgpack.encode(AgentSettings(worker_id="w", fleet="f")))
    agent._engine, agent._root = Engine(), tmp_path
    agent._leases[LEASE.token] = LEASE
    place = attempt_directory(tmp_path, LEASE.task_id, LEASE.attempt, LEASE.token)
    place.mkdir(parents=True)
    log_path(place, "stdout").write_bytes(b"x" * 200_000)
    heard = EngineEvent(kind="heard", worker_id="w")
    outcome = Outcome(ending=Ending.SUCCEEDED, result=1)
    for event in (EngineEvent(kind="ended", lease=LEASE, outcome=outcome), heard, heard):
        agent._engine.events.put_nowait(event)
    listening = asyncio.create_task(agent._listen())
    said, seen = [], 0
    try:
        async with asyncio.timeout(60):
            while not any(each.event and each.event.kind == "ended" for each in said):
                new = msgspec.msgpack.decode(await agent.poll(seen, 0.1), type=list[Said])
                said += [each for each in new if each.seq > seen]
                seen = max((each.seq for each in said), default=0)
        agent._engine.events.put_nowait(heard)
        (last,) = msgspec.msgpack.decode(await agent.poll(seen, 60.0), type=list[Said])
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    events = [each.event for each in said if each.event is not None]
    assert [(e.kind, e.tokens) for e in events] == [("heard", (7,)), ("heard", (7,)), ("ended", ())]
    assert sum(len(each.piece.data) for each in said if each.piece is not None) == 200_000
    assert (last.event.kind, last.event.tokens) == ("heard", ())
