"""A fleet of this machine: tasks of all kinds, and what dies on the way."""

import asyncio
import os
import signal
import sys

import msgspec
import pytest
from fleet_rig import FirstCome, MemoryLedger
from local_rig import gone, processes_of

from steelyard.domain.fleet.events import CancelAsked, Submitted
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Backoff, Limits, Task, TaskSpec
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.attempt_logs import attempts_of, log_path
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.plugin_host import PluginHost

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]
SOON = Backoff(first_s=0.05, max_s=0.2)
PLAIN = ["-p", "no:cacheprovider"]


class LocalFleet:
    """A coordinator with a local engine, for a block."""

    def __init__(self, directory, ledger=None, **options):
        self.host = PluginHost.standard()
        given = {"slots": 4, "detect": False, "heartbeat_s": 0.3} | options
        self.directory = directory
        self.engine = self.host.create("engine", "local", directory=str(directory), **given)
        self.ledger, self.heard = ledger or MemoryLedger(), []
        fleet, clock, kept = Fleet(Limits(silent_s=2.0)), SystemClock(), self.ledger
        remembered = kept.load()
        fleet.restore(remembered.tasks, remembered.workers, remembered.next_token, clock.wall_ns())
        engines = {"local": self.engine}
        self.driver = FleetDriver(fleet, kept, FirstCome(), engines, self.listen, clock)

    async def listen(self, item):
        self.heard.append((item.name, item.arguments))

    async def __aenter__(self):
        self.running = asyncio.create_task(self.driver.run())
        return self

    async def __aexit__(self, *_):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def submit(self, task_id, kind="command", earlier=(), **fields):
        spec = TaskSpec(task_id=task_id, kind=kind, backoff=SOON, **fields)
        specs = tuple(self.host.create("task_kind", kind).prepare(spec, earlier))
        assert await self.driver.tell(Submitted(specs)) == ()
        return [spec.task_id for spec in specs]

    def task(self, task_id):
        return msgspec.msgpack.decode(self.ledger.tasks[task_id], type=Task)

    def result(self, task_id):
        return self.task(task_id).outcome.result

    async def until(self, condition, within_s=120.0):
        async with asyncio.timeout(within_s):
            while not condition():
                assert not self.running.done(), self.running.result()
                await asyncio.sleep(0.01)

    async def ended(self, *names, state="completed", within_s=120.0):
        ends = {"completed", "failed", "cancelled", "dead_letter", "dead-letter"}
        await self.until(lambda: all(self.task(n).state in ends for n in names), within_s)
        assert {n: str(self.task(n).state) for n in names} == dict.fromkeys(names, state)


async def test_tasks_of_all_kinds_are_carried_out(tmp_path):
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_it.py").write_text(
        "import os, pathlib\n"
        "def test_one(): pass\n"
        "def test_two(): pass\n"
        "def test_flaky():\n"
        "    mark = pathlib.Path(os.environ['MARK'])\n"
        "    was = mark.exists()\n"
        "    mark.touch()\n"
        "    assert was\n"
    )
    plan = {"models": ["m"], "load": {"concurrency": 2, "request_count": 8}}
    plan["output"] = {"fail_on": []}  # a busy machine's verdict says nothing of the fleet
    async with LocalFleet(tmp_path / "fleet") as fleet:
        await fleet.submit("hello", payload={"argv": ["/bin/echo", "hello"]})
        await fleet.submit("sum", "callable", payload={"function": "math:fsum", "args": [[1, 2]]})
        tests = {"paths": [str(suite)], "env": {"MARK": str(tmp_path / "mark")}, "args": PLAIN}
        await fleet.submit("suite", "pytest", payload={**tests, "reruns": 1})
        await fleet.submit("bench", "benchmark", payload={"plan": plan}, depends_on=("hello",))
        await fleet.ended("hello", "sum", "suite", "bench")
        assert fleet.result("hello")["stdout"] == "hello\n"
        assert fleet.result("sum") == 3.0
        flaky = "suite/test_it.py::test_flaky"
        counts = {k: fleet.result("suite")[k] for k in ("tests", "passed", "failed", "flaky")}
        assert counts["tests"] == counts["passed"] == 3
        assert [name.partition("suite/")[2] for name in counts["flaky"]] == [flaky[6:]]
        assert fleet.result("bench")["verdict"] in {"VALID", "SUSPECT", "INVALID"}
        assert fleet.result("bench")["metrics"]["request_latency"]["count"] == 8
        # The suite again, divided by what its first run took.
        shards = await fleet.submit(
            "again", "pytest", [fleet.result("suite")], payload={**tests, "shards": 2}
        )
        assert shards == ["again-1of2", "again-2of2"]
        await fleet.ended(*shards)
        parts = [set(fleet.result(name)["durations"]) for name in shards]
        assert parts[0] | parts[1] == set(fleet.result("suite")["durations"])
        assert not parts[0] & parts[1]


async def test_a_failing_task_is_tried_again_and_its_attempts_are_kept(tmp_path):
    async with LocalFleet(tmp_path / "fleet") as fleet:
        shell = f"echo try $STEELYARD_FLEET_ATTEMPT; mkdir {tmp_path}/once && exit 5; true"
        await fleet.submit("t", payload={"shell": shell}, retries=1)
        await fleet.ended("t")
        assert fleet.task("t").tries == 1
        kept = [(a.attempt, a.outcome.exit_code) for a in fleet.ledger.attempts]
        assert kept == [(1, 5), (2, 0)]
        logs = [log_path(a, "stdout").read_text() for a in attempts_of(tmp_path / "fleet", "t")]
        assert logs == ["try 1\n", "try 2\n"]
        await fleet.submit("slow", payload={"shell": "sleep 600"}, timeout_s=0.3)
        await fleet.ended("slow", state="failed")
        assert fleet.task("slow").reason == "ran longer than its 0.3 s"


async def test_a_task_outlives_the_worker_that_died_under_it(tmp_path):
    async with LocalFleet(tmp_path / "fleet") as fleet:
        shell = f"mkdir {tmp_path}/first && sleep 600; echo second"
        await fleet.submit("t", payload={"shell": shell})
        await fleet.until((tmp_path / "first").exists)
        os.kill(fleet.engine.pids["local"], signal.SIGKILL)
        await fleet.ended("t")
        assert fleet.task("t").losses == 1
        assert fleet.result("t")["stdout"] == "second\n"
        told = {
            "worker_failed", "recovery_started", "recovery_completed", "worker_registered",
            "task_completed",
        }  # fmt: skip
        await fleet.until(lambda: "task_completed" in [name for name, _ in fleet.heard])
        assert [name for name, _ in fleet.heard if name in told] == [
            "worker_registered", "worker_failed", "recovery_started", "worker_registered",
            "recovery_completed", "task_completed",
        ]  # fmt: skip


async def test_a_cancelled_task_ends_at_once_and_its_slot_is_free(tmp_path):
    async with LocalFleet(tmp_path / "fleet", slots=1) as fleet:
        await fleet.submit(
            "t", payload={"shell": f"sleep 600 & sleep 600 & touch {tmp_path}/on; wait"}
        )
        await fleet.until((tmp_path / "on").exists)
        # The last that it ran may not have ended yet.
        await fleet.until(lambda: len(processes_of(tmp_path / "fleet", "t")) == 3)
        pids = processes_of(tmp_path / "fleet", "t")
        await fleet.submit("next", payload={"argv": [sys.executable, "-c", "print(1)"]})
        await fleet.driver.tell(CancelAsked("t"))
        await fleet.ended("next")
        assert str(fleet.task("t").state) == "cancelled"
        assert not gone(pids)


async def test_an_endpoint_that_is_not_there_is_told_apart(tmp_path):
    flags = ["--url", "http://127.0.0.1:9", "--model", "m", "--request-count", "2"]
    async with LocalFleet(tmp_path / "fleet") as fleet:
        await fleet.submit("t", "benchmark", payload={"flags": flags})
        await fleet.ended("t", state="failed")
        assert fleet.task("t").spec.endpoint == "http://127.0.0.1:9"
        assert str(fleet.task("t").outcome.ending) == "endpoint unreachable"
        assert fleet.task("t").outcome.exit_code == 4


async def test_a_new_coordinator_goes_on_where_the_last_one_ended(tmp_path):
    ledger = MemoryLedger()
    async with LocalFleet(tmp_path / "fleet", ledger) as fleet:
        await fleet.submit("t", payload={"shell": f"mkdir {tmp_path}/first && sleep 600; echo 2"})
        await fleet.until((tmp_path / "first").exists)
        pids = processes_of(tmp_path / "fleet", "t")
    assert not gone(pids)
    async with LocalFleet(tmp_path / "fleet", ledger) as fleet:
        await fleet.ended("t")
        assert fleet.task("t").attempt == 2
