"""The keeper of a worker elsewhere, when it is the keeper that fails."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

SCRIPT = """
import asyncio, sys, time
from pathlib import Path

import uvloop

from steelyard.domain.bench.join_messages import RoleEnded
from steelyard.runtime.board import Board
from steelyard.runtime.bus_wire import CurveKeys
from steelyard.runtime.bus_zmq import ZmqBroker
from steelyard.runtime.join import Join
from steelyard.runtime.keeper import _Keeper
from steelyard.runtime.process import fork_child, sample_process

child = fork_child("w_0", lambda end: time.sleep(60) or 0)
keys = CurveKeys.generate()


def crash():
    raise ZeroDivisionError("in a callback")


async def main():
    broker = ZmqBroker("tcp://127.0.0.1:0", "ctl", "system_controller", keys=keys)
    words = asyncio.get_running_loop().create_future()

    async def ended(message):
        words.set_result(message.reason)

    broker.port.subscribe(RoleEnded, ended)
    join = Join(
        run_id="r", addresses=(broker.address,), controller_id="ctl", service_ids=("w_0",), index=0,
        server_public=keys.server_public.decode(), client_public=keys.client_public.decode(),
        client_secret=keys.client_secret.decode(),
    )
    board = Board(Path(sys.argv[1]) / "board", 1, create=True)
    asyncio.get_running_loop().call_later(0.2, crash)
    try:
        await _Keeper(join, broker.address, child, board).run()
    except ZeroDivisionError as error:
        print("raised", error)
    print("told", await asyncio.wait_for(words, 60))
    print("left", sample_process(child.pid))
    await broker.close()


uvloop.run(main())
"""


def test_a_keeper_whose_callback_raises_ends_its_worker_and_tells_the_run_why(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    raised, told, left = done.stdout.splitlines()
    assert (raised, left) == ("raised in a callback", "left None"), done.stderr
    assert told.startswith("told its keeper failed: ZeroDivisionError: in a callback (<string>:")
