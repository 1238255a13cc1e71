"""A fleet on a real Ray cluster: a head and two nodes on this machine, and one of them killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from ray_rig import RayCluster

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.builtin.engine.ray import RayEngine
from steelyard.domain.fleet.model import Backoff, Ending, Limits, TaskSpec
from steelyard.domain.fleet.requirements import Requirements
from steelyard.runtime.fleet import output_sweep
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.retention import Retention
from steelyard.testing.contracts.engine import EngineContract, EngineSubject

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(500),
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
    ),
]
SOON = Backoff(first_s=0.1, max_s=0.2)
OTHER_TOKEN = "b" * 64
BENCH = Requirements(labels={"role": "bench"})


@pytest.fixture(scope="module")
def cluster():
    with RayCluster(death_within_s=8.0) as cluster:
        yield cluster


class TestRayContract(EngineContract):
    """The head alone; other nodes join later."""

    @pytest.fixture
    def subject(self, cluster, stranger):
        def make(directory):
            return RayEngine(directory=str(directory), **cluster.engine_options())

        return EngineSubject(RayEngine, make)


STRANGER = """
import asyncio, json, sys
from steelyard.builtin.engine.ray import RayEngine
from steelyard.kernel.errors import SteelyardError

try:
    asyncio.run(RayEngine(**json.loads(sys.argv[1])).start())
except SteelyardError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def stranger(cluster, tmp_path_factory):
    """A coordinator with another token; Ray tries for a while, so it begins early."""
    directory = tmp_path_factory.mktemp("stranger")
    token = directory / "token"
    token.write_text(OTHER_TOKEN)
    options = cluster.engine_options(token_path=str(token), directory=str(directory))
    with subprocess.Popen(
        [sys.executable, "-c", STRANGER, json.dumps(options)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_a_coordinator_with_another_token_is_not_let_in(stranger):
    said, _ = stranger.communicate(timeout=200)
    assert stranger.returncode == 4, said
    assert "Check that the token is the head's" in said
    assert OTHER_TOKEN not in said


def outputs_on(cluster, name):
    """Return the attempts' directories that a node has."""
    return sorted(path.name for path in (cluster.directory / name).glob("*/attempts/t/*"))


def trace(events, zero_ns, zero):
    """Return what happened, a line each, in seconds from a moment."""
    hidden = {"task_data", "capabilities", "coordinator"}
    lines = [(0.0, zero)]
    for told in events:
        shown = (f"{k}={v}" for k, v in told.arguments.items() if k not in hidden)
        at_s = (told.at_ns - zero_ns) / 1e9
        lines.append((at_s, f"{told.name:20} {' '.join(shown)}"))
    return "\n".join(f"{at_s:+8.2f} s  {text}" for at_s, text in sorted(lines))


async def test_two_nodes_join_and_one_is_killed_under_its_task(
    cluster, tmp_path, capsys, monkeypatch
):
    """The task is done by the other node, once; its trace is printed.

    What it left on the nodes can be removed where they are, and the dead one is named.
    """
    monkeypatch.setattr(output_sweep, "RESTED_S", 0.0)
    settings = FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"),
        directory=str(tmp_path / "files"),
        engines={"ray": cluster.engine_options()},
        # Only Ray's word on the node ends the task's attempt there: silence would much later.
        limits=Limits(heartbeat_s=0.5, silent_s=6.0, lost_s=900.0),
        keep=Retention(days=0, output_days=1e-9, every_s=3_600.0),
    )
    marks = tmp_path / "marks"
    shell = f"echo $STEELYARD_FLEET_WORKER | tee -a {marks}; "
    shell += f"mkdir {tmp_path}/once 2> /dev/null && sleep 900; echo done"
    task = TaskSpec(
        task_id="t", kind="command", payload={"shell": shell}, requirements=BENCH, backoff=SOON
    )
    async with Coordinator(settings) as fleet:
        # They join a fleet that is at work.
        await asyncio.to_thread(cluster.add, "127.0.0.3", "127.0.0.4", role="bench")
        async with asyncio.timeout(120):
            while {worker.worker_id for worker in await fleet.workers()} != {"n2", "n3", "n4"}:
                await asyncio.sleep(0.05)
            await fleet.submit([task])
            while not marks.exists() or not marks.read_text().strip():
                await asyncio.sleep(0.05)
        victim = marks.read_text().strip()
        killed_ns = time.time_ns()
        os.kill(cluster.raylet(victim), signal.SIGKILL)
        ended = (await asyncio.wait_for(fleet.ended(["t"]), 120))["t"]
        attempts = await fleet.attempts("t")
        log = (await fleet.log_paths("t"))["stdout"].read_text()
        left = {name: outputs_on(cluster, name) for name in ("n3", "n4")}
        planned = await fleet.tidy(dry_run=True, within_s=60.0)
        tidied = await fleet.tidy(within_s=60.0)
    ledger = SqlLedger(settings.ledger)
    events = LedgerQueries(ledger.database).events()
    ledger.close()
    (survivor,) = {"n3", "n4"} - {victim}
    with capsys.disabled():
        sys.stdout.write(f"\n{trace(events, killed_ns, f'{victim} killed')}\n")
    assert ended.state == "completed"
    assert [a.worker_id for a in attempts] == [victim, survivor]
    assert [a.outcome.ending for a in attempts] == [Ending.LOST, Ending.SUCCEEDED]
    assert attempts[0].token < attempts[1].token
    assert [told.name for told in events].count("task_completed") == 1
    assert marks.read_text().split() == [victim, survivor]
    assert log == f"{survivor}\ndone\n"
    assert [len(left[name]) for name in (victim, survivor)] == [1, 1]
    assert planned.unreached == tidied.unreached == (victim,)
    assert (tidied.outputs, tidied.node_outputs, tidied.left) == (1, 1, 0)
    assert tidied.node_bytes == planned.node_bytes > 0
    assert outputs_on(cluster, survivor) == []
    assert outputs_on(cluster, victim) == left[victim]
