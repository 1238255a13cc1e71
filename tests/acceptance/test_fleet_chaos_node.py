"""A Ray node that is cut off under its task: what it says when it is back is too late."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

import pytest
from chaos_fleet import judge_tokens, report, said, sqlite_rows, task
from fleet_host import until
from partition import cable
from ray_rig import free_port

from steelyard.app.fleet.cluster_joining import join
from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.builtin.engine.ray import RayEngine
from steelyard.domain.fleet.model import Backoff, Ending, Limits, TaskSpec

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.network,
    pytest.mark.needs_root,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
    ),
]
LIMITS = Limits(heartbeat_s=0.5, silent_s=1.5, lost_s=8.0)


class Heard(RayEngine):
    """Remembers what it told of ends."""

    def __init__(self, **options):
        super().__init__(**options)
        self.ends = []

    async def next_event(self):
        event = await super().next_event()
        if event.kind == "ended":
            self.ends.append((event.lease.worker_id, event.lease.token, event.outcome.ending))
        return event


_JOIN = """
import json, sys, time
from steelyard.app.fleet.cluster_joining import join
joined = join(**json.loads(sys.argv[1]))
sys.stdin.read()
joined.leave()
"""


@pytest.fixture
def cluster(monkeypatch):
    """Start a head here and a node at the other end of a cable; Ray itself is patient with it."""
    # Short: the paths of Ray's sockets are below.
    with cable() as link, tempfile.TemporaryDirectory(prefix="sy-ray-") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        given = {"token_path": f"{place}/token", "programs": False, "slots": 2}
        head = join(
            worker_id="near", host=link.outside, port=free_port(), directory=f"{place}/near",
            death_within_s=200.0, **given,
        )  # fmt: skip
        node = {"head": head.address, "host": link.inside, "worker_id": "far"}
        node["directory"] = f"{place}/far"
        words = [*link.within, sys.executable, "-c", _JOIN, json.dumps({**node, **given})]
        far = subprocess.Popen(words, stdin=subprocess.PIPE)
        try:
            yield link, head.address, given["token_path"]
        finally:
            link.mend()
            far.communicate(timeout=90)
            head.leave()


async def test_a_node_that_is_cut_off_is_not_believed_when_it_is_back(cluster, tmp_path, capsys):
    """Its task is done by another node meanwhile; its own result comes second, and is refused."""
    link, address, token = cluster
    files = str(tmp_path / "files")
    engine = Heard(address=address, token_path=token, heartbeat_s=0.5, directory=files)
    settings = FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"), directory=files, engines={}, limits=LIMITS
    )
    held = f"{{ until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo 0; }}"
    given = task("t", f"$(mkdir {tmp_path}/once && {held} || echo 0)", tmp_path)
    spec = TaskSpec(
        task_id="t", kind="command", payload=given["payload"], backoff=Backoff(first_s=0.1)
    )
    async with Coordinator(settings, engines={"ray": engine}) as fleet:

        async def are_there():
            return {worker.worker_id for worker in await fleet.workers()} == {"near", "far"}

        await until(are_there, 90)
        await fleet.drain("near")
        await fleet.submit([spec])
        await until(lambda: said(tmp_path / "begun")["t"], 90)
        await fleet.drain("near", on=False)
        (first,) = said(tmp_path / "begun")["t"]
        link.cut()
        cut_s = time.monotonic()
        ended = (await asyncio.wait_for(fleet.ended(["t"]), 120))["t"]
        done_s = time.monotonic() - cut_s
        (tmp_path / "go").touch()
        await until(lambda: first in said(tmp_path / "ended")["t"])
        assert [name for name, *_ in engine.ends] == ["near"]
        link.mend()
        mended_s = time.monotonic()
        await until(lambda: ("far", first, Ending.SUCCEEDED) in engine.ends, 150)
        late_s = time.monotonic() - mended_s
        assert (await fleet.task("t")).outcome == ended.outcome
        attempts = await fleet.attempts("t")

        async def are_well():
            states = {worker.worker_id: worker.state for worker in await fleet.workers()}
            return states == {"near": "alive", "far": "alive"}

        await until(are_well, 90)
    assert [(a.worker_id, a.outcome.ending) for a in attempts] == [
        ("far", Ending.LOST), ("near", Ending.SUCCEEDED)
    ]  # fmt: skip
    judge_tokens(sqlite_rows(tmp_path / "fleet.sqlite"), ["t"], tmp_path)
    report(
        capsys, "a node cut off", **{"done elsewhere": f"{done_s:.1f} s after the cut",
        "its own result": f"{late_s:.1f} s after it was mended, refused"},
    )  # fmt: skip
