"""The prefill limit against a real server, whose own log says how many waited at once."""

import numpy as np
import pytest
from engine_rig import MS, EngineRig, most_at_once

pytestmark = pytest.mark.network

SLOW_START = {"ttft_ms": 6, "ttft_dist": "lognormal", "itl_ms": 4, "tokens": 5}


def prefilling(rig: EngineRig) -> int:
    """Return how many requests were between arrival and first content at most."""
    rows = rig.truth()
    return most_at_once([(int(row["received_ns"]), int(row["first_send_ns"])) for row in rows])


def in_flight(rows: np.ndarray) -> int:
    """Return how many requests were under way at most."""
    return most_at_once(list(zip(rows["start_ns"].tolist(), rows["end_ns"].tolist(), strict=True)))


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_than_the_limit_wait_for_their_first_content(tmp_path, limit) -> None:
    """The slots behind it fill up all the same: streams that have begun don't count."""
    phase = {"concurrency": 8, "prefill_concurrency": limit, "request_count": 40}
    async with EngineRig(tmp_path, phase, {**SLOW_START, "itl_ms": 12}) as rig:
        rows = await rig.run()
    assert rows["schedule_index"].tolist() == list(range(40))
    assert prefilling(rig) == limit
    assert in_flight(rows) > limit


async def test_waiting_for_the_limit_is_not_our_own_lateness(tmp_path) -> None:
    """In a closed loop a request is meant for when it may be sent, the first ones too."""
    phase = {"concurrency": 6, "prefill_concurrency": 1, "request_count": 18}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 50, "itl_ms": 40}) as rig:
        rows = await rig.run()
    assert rows["intended_ns"][0] == rig.start_ns
    assert rows["intended_ns"][1] >= rig.start_ns + 50 * MS
    late_ms = (rows["start_ns"] - rows["intended_ns"]) / MS
    assert (late_ms >= 0).all()
    assert np.median(late_ms) < 25, "not the 50 ms and more that it waited"


async def test_an_open_loop_is_held_back_and_its_schedule_is_not(tmp_path) -> None:
    """What is late is late."""
    phase = {"request_rate": 1000.0, "prefill_concurrency": 2, "request_count": 20}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 10, "itl_ms": 1}) as rig:
        rows = await rig.run()
    assert prefilling(rig) == 2
    assert set(np.diff(rows["intended_ns"]).tolist()) == {1 * MS}
    assert rows["start_ns"][-1] - rows["intended_ns"][-1] > 50 * MS


async def test_later_turns_pass_the_gate_too(tmp_path) -> None:
    """Conversations keep their slots and take turns at the gate."""
    phase = {"concurrency": 5, "prefill_concurrency": 1, "session_count": 10}
    async with EngineRig(tmp_path, phase, {**SLOW_START, "tokens": 2}, turns=3) as rig:
        rows = await rig.run()
    assert rows.size == 30
    assert prefilling(rig) == 1
    in_turn = rows[np.argsort(rows["start_ns"])]
    room_ns = in_turn["first_token_ns"][:-1] - MS  # kernel stamps are moved by an offset
    assert (in_turn["intended_ns"][1:] >= room_ns).all()


async def test_a_later_turn_of_an_open_loop_is_late_where_the_gate_held_it_back(tmp_path) -> None:
    """It is meant for the end of the answer before it, as a schedule or a delay has it."""
    phase = {"request_rate": 1000.0, "prefill_concurrency": 1, "session_count": 5}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 8, "tokens": 1}, turns=2) as rig:
        rows = await rig.run()
    first, second = rows[rows["turn"] == 0], rows[rows["turn"] == 1]
    assert second["intended_ns"].tolist() == first["end_ns"].tolist()
    assert (second["start_ns"] - second["intended_ns"]).max() > 8 * MS


@pytest.mark.parametrize("fault", ["error", "reset", "empty", "malformed", "garbage"])
async def test_what_fails_makes_room_when_it_is_over(tmp_path, fault) -> None:
    """No fault keeps its place at the gate."""
    phase = {"concurrency": 4, "prefill_concurrency": 1, "request_count": 12}
    mock = {"ttft_ms": 2, "faults": {fault: 1.0}, "tokens": 4}
    async with EngineRig(tmp_path, phase, mock) as rig:
        rows = await rig.run()
    assert rows.size == 12
    assert (rows["error_kind"] != 0).all()


async def test_without_a_stream_the_whole_answer_counts(tmp_path) -> None:
    """Its first content is there when it is complete."""
    phase = {"concurrency": 4, "prefill_concurrency": 2, "request_count": 12}
    async with EngineRig(tmp_path, phase, {"ttft_ms": 5}, streaming=False) as rig:
        rows = await rig.run()
    assert rows.size == 12
    assert in_flight(rows) == 2


async def test_the_gate_opens_along_its_ramp(tmp_path) -> None:
    """Three places over 120 ms; the requests that they let in are meant for then."""
    phase = {
        "concurrency": 3, "prefill_concurrency": 3, "prefill_concurrency_ramp_s": 0.12,
        "request_count": 3,
    }  # fmt: skip
    async with EngineRig(tmp_path, phase, {"ttft_ms": 250}) as rig:
        rows = await rig.run()
    intended_ms = ((rows["intended_ns"] - rig.start_ns) / MS).tolist()
    # Two places that a paused machine finds open at once have been room since the first of them.
    assert intended_ms in ([0, 60, 120], [0, 60, 60])
    assert ((rows["start_ns"] - rig.start_ns) / MS >= [0, 60, 120]).all()
    assert rows["start_ns"].max() < rows["end_ns"].min(), "none waited for an answer"


async def test_a_worker_without_a_limit_reads_nothing_early(tmp_path) -> None:
    """No exchange asks to be told of its reads."""
    async with EngineRig(tmp_path, {"concurrency": 2, "request_count": 2}, {"itl_ms": 20}) as rig:
        seen = []
        submit = rig.transport.submit

        def watched(exchange):
            seen.append(exchange)
            submit(exchange)

        rig.transport.submit = watched
        await rig.run()
    assert [(exchange.when_read, exchange.when_sent) for exchange in seen] == [(None, None)] * 2
