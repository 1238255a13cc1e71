"""The engine against a real server: loops, ramps, conversations."""

import asyncio

import numpy as np
import pytest
from engine_rig import MS, EngineRig, most_at_once

from steelyard.domain.bench.records import ErrorKind

pytestmark = pytest.mark.network


async def test_a_closed_loop_sends_all_and_never_more_at_once(tmp_path) -> None:
    """Every leased index once; as many in flight as there are slots."""
    async with EngineRig(tmp_path, {"concurrency": 4, "request_count": 40}, {"ttft_ms": 4}) as rig:
        rows = await rig.run()
    assert rows["schedule_index"].tolist() == list(range(40))
    assert set(rows["error_kind"].tolist()) == {ErrorKind.NONE}
    assert most_at_once(list(zip(rows["start_ns"], rows["end_ns"], strict=True))) == 4
    assert rig.attended > 0


async def test_the_first_sessions_of_a_closed_loop_are_meant_for_its_start(tmp_path) -> None:
    """The slots are free from the start on; all later sessions are meant for when one is freed."""
    async with EngineRig(tmp_path, {"concurrency": 3, "request_count": 9}, {"ttft_ms": 5}) as rig:
        rows = await rig.run()
    intended = rows["intended_ns"].tolist()
    assert intended[:3] == [rig.start_ns] * 3
    assert min(intended[3:]) >= rig.start_ns + 5 * MS


async def test_slots_open_along_the_ramp(tmp_path) -> None:
    """A linear ramp of 5 slots over 80 ms: one every 20 ms, the first at once."""
    phase = {"concurrency": 5, "request_count": 5, "concurrency_ramp_s": 0.08}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 150}) as rig:
        rows = await rig.run()
    after_ms = (rows["intended_ns"] - rig.start_ns) / MS
    assert after_ms.tolist() == [0, 20, 40, 60, 80]
    assert (rows["start_ns"] >= rows["intended_ns"]).all()
    assert rows["start_ns"].max() < rows["end_ns"].min(), "none waited for an answer"


@pytest.mark.parametrize("rank", [0, 1])
async def test_a_worker_has_every_other_slot_of_the_ramp(tmp_path, rank) -> None:
    """Of 5 slots the first of two workers has 0, 2 and 4, the second 1 and 3."""
    phase = {"concurrency": 5, "request_count": 5, "concurrency_ramp_s": 0.08}
    place = {"rank": rank, "size": 2, "indices": (rank, 5, 2)}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 150}, **place) as rig:
        rows = await rig.run()
    after_ms = (rows["intended_ns"] - rig.start_ns) / MS
    assert after_ms.tolist() == [0, 20, 40, 60, 80][rank::2]


async def test_a_ramp_bounds_an_open_loop_too(tmp_path) -> None:
    """The schedule stays; what has no slot yet leaves late, when one opens."""
    phase = {
        "request_rate": 1000.0, "concurrency": 4, "request_count": 4, "concurrency_ramp_s": 0.09,
    }  # fmt: skip
    async with EngineRig(tmp_path, phase, {"ttft_ms": 150}) as rig:
        rows = await rig.run()
    assert np.diff(rows["intended_ns"]).tolist() == [1 * MS] * 3
    started_ms = (rows["start_ns"] - rig.start_ns) / MS
    assert (started_ms >= [0, 30, 60, 90]).all()
    assert rows["start_ns"].max() < rows["end_ns"].min(), "none waited for an answer"


async def test_a_lost_workers_slots_are_taken_over(tmp_path) -> None:
    """From rank 1 of 2 to the only worker: all slots, the new ones meant for the take-over."""
    phase = {"concurrency": 4, "request_count": 4}
    place = {"rank": 1, "size": 2, "indices": (0, 4, 1)}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 200}, **place) as rig:
        rig.begin()
        while rig.engine.ack().sent < 2:
            await asyncio.sleep(0.001)
        assert rig.engine.ack().in_flight == 2
        rig.set_place(0, 1)
        assert rig.engine.ack().in_flight == 4
        await rig.until_idle()
    rows = rig.rows
    assert rows["intended_ns"][:2].tolist() == [rig.start_ns] * 2
    assert (rows["intended_ns"][2:] > rows["start_ns"][1]).all()
    assert rows["start_ns"][2:].max() < rows["end_ns"].min(), "none waited for an answer"


async def test_a_quota_before_the_start_sends_nothing_early(tmp_path) -> None:
    """A worker lost in the lead time changes shares, not the start."""
    async with EngineRig(tmp_path, {"concurrency": 2, "request_count": 2}, {}) as rig:
        rig.begin()
        rig.set_place(0, 1)
        assert rig.engine.ack().sent == 0
        await rig.until_idle()
    assert (rig.rows["start_ns"] >= rig.start_ns).all()


async def test_sessions_are_sent_with_all_their_turns(tmp_path) -> None:
    """Six sessions of three turns: eighteen requests, never more sessions than slots."""
    phase = {"concurrency": 2, "session_count": 6}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 2}, turns=3) as rig:
        rows = await rig.run()
        ack = rig.engine.ack()
    assert (ack.sessions, ack.sent) == (6, 18)
    places = list(zip(rows["schedule_index"].tolist(), rows["turn"].tolist(), strict=True))
    assert places == [(index, turn) for index in range(6) for turn in range(3)]
    spans = [
        (rows["start_ns"][at : at + 3].min(), rows["end_ns"][at : at + 3].max())
        for at in range(0, 18, 3)
    ]
    assert most_at_once(spans) == 2
