"""Requests given up on purpose, on the wire of a real server."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest
from engine_rig import MS, EngineRig

from steelyard.domain.bench.cancellation import CancelDraws
from steelyard.domain.bench.metrics import failed, succeeded
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.runtime import cancellations
from steelyard.runtime.cancellations import Cancellations
from steelyard.runtime.exchange import Exchange, Prepared

pytestmark = pytest.mark.network

LEFT = "499"
ENDLESS = {"ttft_ms": 10, "itl_ms": 10, "tokens": 5_000}


def phase(rate: float, delay_s: float, count: int = 20) -> dict:
    return {
        "concurrency": 4, "request_count": count, "cancellation_rate": rate,
        "cancellation_delay_s": delay_s,
    }  # fmt: skip


def of_truth(rig: EngineRig) -> dict[int, dict[str, str]]:
    """Return what the server saw, by schedule index."""
    return {int(row["x_request_id"].split("-")[-2].split(".")[0]): row for row in rig.truth()}


async def test_given_up_requests_end_on_time_and_on_the_wire(tmp_path) -> None:
    """Their delay after the send, not at some later look; the server sees the client leave."""
    async with EngineRig(tmp_path, phase(1.0, 0.06), ENDLESS) as rig:
        rows = await rig.run()
        ack = rig.engine.ack()
        await asyncio.sleep(0.05)
    assert rows.size == 20
    assert rows["cancelled"].all()
    assert set(rows["error_kind"].tolist()) == {ErrorKind.CANCELLED}
    after_ms = (rows["end_ns"] - rows["sent_ns"]) / MS
    assert (after_ms >= 60).all()
    assert np.median(after_ms) < 60 + 20  # a pause of the machine makes some of them late
    assert (ack.cancelled, ack.failed, ack.completed) == (20, 0, 0)
    assert not failed(rows).any()
    assert not succeeded(rows).any()
    truth = of_truth(rig)
    assert {row["status"] for row in truth.values()} == {LEFT}
    assert 2 <= np.median([int(row["chunks"]) for row in truth.values()]) <= 8
    assert "on purpose" in rig.messages[ErrorKind.CANCELLED]


async def test_the_draws_decide_and_the_others_are_answered(tmp_path) -> None:
    """Exactly the drawn indices are given up; the rest is as if nothing had been."""
    mock = {"ttft_ms": 20, "itl_ms": 20, "tokens": 4}
    async with EngineRig(tmp_path, phase(0.4, 0.01, 60), mock) as rig:
        rows = await rig.run()
        await asyncio.sleep(0.05)
    draws = CancelDraws(42, 0, 0.4)
    drawn = [draws.given_up(index) for index in range(60)]
    assert rows["cancelled"].tolist() == drawn
    answered = rows[~rows["cancelled"]]
    assert set(answered["chunks"].tolist()) == {4}
    assert succeeded(answered).all()
    left = {index for index, row in of_truth(rig).items() if row["status"] == LEFT}
    meant = set(np.flatnonzero(drawn).tolist())
    # After a pause of both the server may have written to its end before it looks who is there.
    assert left <= meant
    assert len(left) > len(meant) / 2


async def test_without_a_delay_the_server_still_gets_the_whole_request(tmp_path) -> None:
    """Sent, then gone: the server reads it, and has nobody to write to."""
    async with EngineRig(
        tmp_path, phase(1.0, 0.0, 12), {"ttft_ms": 30_000, "role_chunk": False}
    ) as rig:
        rows = await rig.run()
        async with asyncio.timeout(60):
            while rig.server.requests_seen < 12:
                await asyncio.sleep(0.005)
    assert rows["cancelled"].all()
    assert (rows["sent_ns"] != MISSING).all()
    assert np.median(rows["end_ns"] - rows["sent_ns"]) < 20 * MS
    truth = of_truth(rig)
    assert sorted(truth) == list(range(12))
    assert {row["status"] for row in truth.values()} == {LEFT}


async def test_an_answer_that_is_faster_counts(tmp_path, monkeypatch) -> None:
    """What ended before its time is not given up, and not when that comes either."""
    async with EngineRig(tmp_path, phase(1.0, 60.0), {"ttft_ms": 2}) as rig:
        asked = []
        rig.transport.cancel = lambda *given: asked.append(given)
        rows = await rig.run()
        later_ns = time.monotonic_ns() + 120_000 * MS
        monkeypatch.setattr(cancellations, "time", SimpleNamespace(monotonic_ns=lambda: later_ns))
        rig.engine._cancellations._fire()
    assert succeeded(rows).all()
    assert rig.engine.ack().cancelled == 0
    assert asked == []


async def test_a_request_sent_again_has_its_whole_time_again() -> None:
    """The first send went to a connection that was closed; only the second one counts."""
    cancelled = []
    given_up = Cancellations(
        CancelDraws(0, 0, 1.0),
        40 * MS,
        lambda exchange, _: cancelled.append(time.monotonic_ns()),
        asyncio.get_running_loop(),
    )
    exchange = Exchange(0, Prepared(0, 0, b"", b""), b"", 0)
    given_up.consider(exchange)
    first_ns = time.monotonic_ns()
    for after_ns in (0, 20 * MS):
        exchange.sent_ns = first_ns + after_ns
        assert exchange.when_sent is not None
        exchange.when_sent(exchange)
    async with asyncio.timeout(60):
        while not cancelled:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    given_up.close()
    assert len(cancelled) == 1
    assert cancelled[0] >= exchange.sent_ns + 40 * MS


async def test_a_conversation_ends_with_the_turn_that_is_given_up(tmp_path) -> None:
    """Its next turn would follow an answer that nobody has; each turn is drawn for itself."""
    plan = phase(0.4, 0.005, 40) | {"request_count": None, "session_count": 40}
    async with EngineRig(tmp_path, plan, {"ttft_ms": 12}, turns=3) as rig:
        rows = await rig.run()
    draws = CancelDraws(42, 0, 0.4)
    for index in range(40):
        turns = rows[rows["schedule_index"] == index]
        given_up = [draws.given_up(index, turn) for turn in range(3)]
        expected = given_up.index(True) + 1 if True in given_up else 3
        assert turns["turn"].tolist() == list(range(expected))
        assert turns["cancelled"].tolist() == given_up[:expected]


async def test_a_request_that_is_given_up_makes_room_for_a_prefill(tmp_path) -> None:
    """One place at the gate and a server that never begins to answer."""
    plan = phase(1.0, 0.01, 8) | {"prefill_concurrency": 1}
    async with EngineRig(tmp_path, plan, {"faults": {"hang": 1.0}}) as rig:
        rows = await rig.run()
    assert rows.size == 8
    order = np.argsort(rows["start_ns"])
    assert (rows["start_ns"][order][1:] >= rows["end_ns"][order][:-1]).all()
