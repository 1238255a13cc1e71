"""Attempts are processes with limits and logs, and nothing of them outlives whom it belongs to."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from fake_nvml import build_nvml
from local_rig import LocalRig, alive, gone, keeper_of, kill, parent_of, processes_of
from nosy import words_that_look

from steelyard.domain.fleet.model import Ending
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.fleet.attempt_logs import attempts_of, follow, log_path
from steelyard.runtime.fleet.local_processes import end_marked

# A process that is in nobody's group or session any more: forked twice, its parents gone.
DAEMON = "(setsid sh -c 'echo $$ >> pids.new; mv pids.new pids; sleep 60' &) ; "
LONG = "echo $$ > pids; exec sleep 60"
PYTHON = sys.executable


async def test_an_outcome_names_exit_code_and_last_words(tmp_path):
    async with LocalRig(tmp_path) as rig:
        outcome = await rig.run("echo working; echo 'no such model' >&2; exit 7")
        assert (outcome.ending, outcome.exit_code) == (Ending.FAILED, 7)
        assert outcome.error == "exit code 7: no such model"
        assert outcome.result["stdout"] == "working\n"
        assert 0 < outcome.seconds < 60  # and no milliseconds
        assert outcome.energy_j == 0
        outcome = await rig.run("kill -KILL $$")
        assert outcome.exit_code == -signal.SIGKILL
        assert outcome.error.startswith("killed by SIGKILL (not by the fleet")
        outcome = await rig.run(payload={"argv": ["no-such-program"]})
        assert outcome.error == "no-such-program can't be run: no such file or directory"
        outcome = await rig.run(payload={"argv": ["ls"], "cwd": "/no/such"})
        assert outcome.error == (
            "its directory /no/such can't be entered: no such file or directory"
        )


async def test_memory_that_a_task_asked_for_is_all_it_gets(tmp_path):
    take = f"{PYTHON} -c 'len(bytearray(300_000_000)); print(1)'"
    async with LocalRig(tmp_path) as rig:
        outcome = await rig.run(take, needs={"memory_gb": 0.2})
        assert outcome.error == "exit code 1: MemoryError"
        assert (await rig.run(take, needs={"memory_gb": 0.5})).ending is Ending.SUCCEEDED


async def test_limits_of_time_files_and_sizes_hold(tmp_path):
    async with LocalRig(tmp_path, cpu_s=1, files=64) as rig:
        busy = await rig.submit("while :; do :; done")
        assert (await rig.run("ulimit -n; ulimit -c")).result["stdout"] == "64\n0\n"
        large = await rig.submit("head -c 3000000 /dev/zero > out", needs={"disk_gb": 0.002})
        assert (await rig.outcome(large)).ending is Ending.FAILED
        assert (rig.attempt(large) / "work/out").stat().st_size == 2_000_000
        assert "SIGXCPU (its CPU time is used up)" in (await rig.outcome(busy)).error


async def test_logs_have_a_beginning_and_an_end(tmp_path):
    text = "echo first; head -c 500000 /dev/zero | tr '\\0' x; echo; echo last"
    async with LocalRig(tmp_path, log_mb=0.1) as rig:
        lease = await rig.submit(text)
        outcome = await rig.outcome(lease)
        log = log_path(rig.attempt(lease), "stdout").read_text()
    assert 100_000 < len(log) < 200_000
    assert log.startswith("first\n")
    assert log.endswith("x\nlast\n")
    assert "bytes were left out here]" in log
    kept = sum(log.count(letter) for letter in "x") - "[steelyard: bytes left out".count("x")
    left_out = int(log.partition("[steelyard: ")[2].partition(" ")[0])
    assert kept + left_out == 500_000
    assert outcome.result["stdout"].endswith("last\n")


async def test_logs_are_followed_while_they_are_written(tmp_path):
    async with LocalRig(tmp_path) as rig:
        shell = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two; echo three >&2"
        lease = await rig.submit(shell)
        seen = b""
        path = log_path(rig.attempt(lease), "stdout")
        async with asyncio.timeout(20):
            async for data in follow(path, lambda: bool(rig.said("ended", lease))):
                seen += data
                if seen == b"one\n":
                    assert not rig.said("ended", lease)
                    (rig.attempt(lease) / "work/go").touch()
        assert seen == b"one\ntwo\n"
        assert log_path(rig.attempt(lease), "stderr").read_text() == "three\n"
        assert attempts_of(tmp_path, lease.task_id) == [rig.attempt(lease)]


async def test_a_stopped_attempt_is_cancelled_long_before_it_would_end(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(LONG)
        (pid,) = await rig.pids(lease)
        kill(pid, signal.SIGSTOP)
        await rig.engine.cancel(lease)
        outcome = await rig.outcome(lease, within_s=30.0)
        assert outcome.ending is Ending.CANCELLED
        assert not alive(pid)


async def test_a_daemon_does_not_outlive_its_attempt(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(DAEMON + "while [ ! -e pids ]; do sleep 0.01; done")
        assert (await rig.outcome(lease)).ending is Ending.SUCCEEDED
        assert not alive((await rig.pids(lease))[0])


async def test_an_attempt_whose_own_process_is_killed_is_lost_and_leaves_nothing(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(DAEMON + "while [ ! -e pids ]; do sleep 0.01; done; sleep 60")
        other = await rig.submit(LONG)
        (daemon,), (survivor,) = await rig.pids(lease), await rig.pids(other)
        attempt = processes_of(tmp_path, "t1")
        assert daemon in attempt
        worker = rig.engine.pids["local"]
        kill(keeper_of(tmp_path, "t1"))
        outcome = await rig.outcome(lease)
        assert outcome.ending is Ending.LOST
        assert (rig.engine.pids["local"], alive(worker)) == (worker, True)
        assert outcome.error == "the attempt's own process ended: killed by SIGKILL"
        assert not gone(attempt)
        assert alive(survivor)


async def test_a_worker_that_is_killed_is_told_of_and_replaced(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(DAEMON + "while [ ! -e pids ]; do sleep 0.01; done; sleep 60")
        (daemon,) = await rig.pids(lease)
        kill(rig.engine.pids["local"])
        (died,) = await rig.until(lambda: rig.said("worker_died"))
        assert (died.worker_id, died.reason) == ("local", "killed by SIGKILL")
        assert not alive(daemon)
        with pytest.raises(SteelyardError, match="Worker local is dead"):
            await rig.submit("true")
        (joined,) = await rig.until(lambda: rig.said("worker_joined"))
        assert (joined.worker_id, joined.slots) == ("local", 4)
        assert (await rig.run("echo again")).result["stdout"] == "again\n"
        assert not rig.said("ended", lease)


async def test_worker_and_attempt_killed_at_once_leave_nothing(tmp_path):
    """The last resort: who is left is found by a variable that the kernel remembers."""
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(DAEMON + "while [ ! -e pids ]; do sleep 0.01; done; sleep 60")
        (daemon,) = await rig.pids(lease)
        shells = [pid for pid in processes_of(tmp_path, "t1") if pid != daemon]
        runner = keeper_of(tmp_path, "t1")
        worker = rig.engine.pids["local"]
        kill(worker, signal.SIGSTOP)  # so that neither sees the other's end
        kill(runner)
        kill(worker)
        await rig.until(lambda: rig.said("worker_died"))
        assert not gone([daemon, *shells])


COORDINATOR = """
import asyncio, sys
from local_rig import LocalRig
async def main():
    async with LocalRig(sys.argv[1]) as rig:
        lease = await rig.submit(sys.argv[2])
        pids = await rig.pids(lease)
        print(*rig.engine.pids.values(), *pids, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def coordinator(directory, shell):
    support = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [PYTHON, "-c", COORDINATOR, str(directory), shell],
        env={**os.environ, "PYTHONPATH": support}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_attempts_end_with_a_coordinator_that_is_killed(tmp_path):
    shell = DAEMON + "while [ ! -e pids ]; do sleep 0.01; done; sleep 60"
    with coordinator(tmp_path, shell) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        attempt = processes_of(tmp_path, "t1")
        assert set(pids[1:]) <= set(attempt)
        process.kill()
    assert len(attempt) >= 2
    assert not gone([*pids, *attempt])


def test_what_all_their_keepers_deaths_left_ends_when_the_next_coordinator_starts(tmp_path):
    shell = DAEMON + "while [ ! -e pids ]; do sleep 0.01; done; sleep 60"
    with coordinator(tmp_path, shell) as process:
        worker, daemon = (int(word) for word in process.stdout.readline().split())
        runner = keeper_of(tmp_path, "t1")
        for pid in (process.pid, worker, runner):
            kill(pid, signal.SIGSTOP)
        for pid in (runner, worker, process.pid):
            kill(pid)
    assert alive(daemon)

    async def start():
        async with LocalRig(tmp_path):
            return gone([daemon])

    assert asyncio.run(start()) == []


async def test_one_engine_works_in_a_directory(tmp_path):
    async with LocalRig(tmp_path):
        with pytest.raises(UsageError, match="Another engine works in this directory"):
            await LocalRig(tmp_path).__aenter__()
    async with LocalRig(tmp_path) as rig:
        assert (await rig.run("true")).ending is Ending.SUCCEEDED


async def test_what_a_worker_can_not_carry_out_it_refuses(tmp_path):
    async with LocalRig(tmp_path) as rig:
        outcome = await rig.run(kind="browser_model", payload={"a": 1})
        assert outcome.ending is Ending.REFUSED
        assert "browser_model" in outcome.error
        (tmp_path / "attempts").write_text("in the way")
        outcome = await rig.run("true")
        assert outcome.ending is Ending.REFUSED
        assert "the attempt's directory can't be made" in outcome.error


async def test_variables_are_passed_on_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_SHOWN", "1")
    monkeypatch.setenv("KIT_HIDDEN", "1")
    async with LocalRig(tmp_path, environment=["KIT_SHOWN"]) as rig:
        text = (await rig.run("env")).result["stdout"]
    assert "KIT_SHOWN=1" in text
    assert "KIT_HIDDEN" not in text
    assert "STEELYARD_FLEET_TASK=t1" in text


async def test_an_attempt_reads_no_secret_in_the_processes_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_HIDDEN", "what-is-secret")
    monkeypatch.setenv("KIT_SHOWN", "1")
    async with LocalRig(tmp_path, environment=["KIT_SHOWN"]) as rig:
        (worker,) = rig.engine.pids.values()
        outcome = await rig.run(payload={"argv": words_that_look(worker)})
    text = outcome.result["stdout"]
    assert (text.count("at "), text.count("KIT_SHOWN=1")) == (2, 2)  # its own process, and worker
    assert "what-is-secret" not in text


async def test_several_workers_share_a_machine(tmp_path):
    async with LocalRig(tmp_path, workers=2, slots=0, name="box") as rig:
        names = [name for name, _, _ in rig.workers]
        whole = len(os.sched_getaffinity(0))
        assert names == ["box-0", "box-1"]
        assert sum(has.cpu_cores for _, has, _ in rig.workers) <= whole
        leases = [await rig.submit("true", worker=name) for name in names]
        for lease in leases:
            assert (await rig.outcome(lease)).ending is Ending.SUCCEEDED


async def test_attempts_are_shown_their_own_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build_nvml(tmp_path)))
    wait = "echo $CUDA_VISIBLE_DEVICES > got; while [ ! -e go ]; do sleep 0.01; done; cat got"
    async with LocalRig(tmp_path / "fleet") as rig:
        has = rig.workers[0][1]
        assert [gpu.model for gpu in has.gpus] == ["Fake H100", "Fake H200"]
        assert (has.hardware_type, has.accelerators) == ("gpu", ("cuda",))
        one = await rig.submit(wait, needs={"gpus": 1})
        two = await rig.submit(wait, needs={"gpus": 1, "gpu_model": "*H200*"})
        none = await rig.run("echo .$CUDA_VISIBLE_DEVICES.")
        more = await rig.run("true", needs={"gpus": 1})
        for lease in (one, two):
            (rig.attempt(lease) / "work/go").touch()
        shown = [(await rig.outcome(lease)).result["stdout"].strip() for lease in (one, two)]
        again = await rig.run("echo $CUDA_VISIBLE_DEVICES", needs={"gpus": 2})
    assert shown == ["GPU-1000-fake", "GPU-2000-fake"]
    assert none.result["stdout"] == "..\n"
    assert more.error == "no such GPUs are free on this worker"
    assert sorted(again.result["stdout"].strip().split(",")) == shown


async def test_a_heartbeat_names_what_is_under_way(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(LONG)
        await rig.until(lambda: any(lease.token in e.tokens for e in rig.said("heard")))
        await rig.engine.cancel(lease)
        await rig.outcome(lease)
        count = len(rig.said("heard"))
        await rig.until(lambda: len(rig.said("heard")) > count + 1)
        assert rig.said("heard")[-1].tokens == ()


async def test_a_stopped_worker_is_silent_and_stop_ends_it(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(LONG)
        (pid,) = await rig.pids(lease)
        worker = rig.engine.pids["local"]
        kill(worker, signal.SIGSTOP)
        count = -1
        async with asyncio.timeout(30):
            while len(rig.said("heard")) > count:  # what it said before is on its way
                count = len(rig.said("heard"))
                await asyncio.sleep(0.6)
        kill(worker, signal.SIGCONT)
        await rig.until(lambda: len(rig.said("heard")) > count)
    assert not gone([pid, worker])
    assert end_marked(f"{tmp_path}#") == 0


async def test_a_cancel_that_comes_with_its_attempt_is_heeded(tmp_path):
    """Both are read at once by a process that waits for work."""
    async with LocalRig(tmp_path) as rig:
        await rig.run("true")
        for _ in range(5):
            lease = await rig.submit(LONG)
            await rig.engine.cancel(lease)
            assert (await rig.outcome(lease, within_s=30.0)).ending is Ending.CANCELLED
        assert (await rig.run("true")).ending is Ending.SUCCEEDED


async def test_a_process_that_hangs_when_it_is_to_end_is_ended(tmp_path):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit(LONG)
        (pid,) = await rig.pids(lease)
        kill(parent_of(pid), signal.SIGSTOP)
        await rig.engine.cancel(lease)
        assert (await rig.outcome(lease, within_s=30.0)).ending is Ending.CANCELLED
        assert not gone([pid])
        assert (await rig.run("echo on")).result["stdout"] == "on\n"


async def test_processes_are_used_again_and_replaced_when_they_die_in_between(tmp_path):
    async with LocalRig(tmp_path, slots=1) as rig:
        keepers = [int((await rig.run("echo $PPID")).result["stdout"]) for _ in range(3)]
        assert len(set(keepers)) == 1
        kill(keepers[0])
        assert not gone(keepers)
        assert int((await rig.run("echo $PPID")).result["stdout"]) not in keepers


async def test_a_worker_that_can_not_be_started_is_tried_again(tmp_path, monkeypatch):
    async with LocalRig(tmp_path) as rig:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
        kill(rig.engine.pids["local"])
        await rig.until(lambda: rig.said("worker_died"))
        await asyncio.sleep(0.4)
        assert not rig.said("worker_joined")
        monkeypatch.undo()
        await rig.until(lambda: rig.said("worker_joined"))
        assert (await rig.run("echo on")).result["stdout"] == "on\n"


async def test_an_engine_whose_worker_can_not_start_says_so_and_lets_its_directory_go(
    tmp_path, monkeypatch
):
    rig = LocalRig(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(SteelyardError, match="Worker local can't be started"):
        await rig.engine.start()
    await rig.engine.stop()
    monkeypatch.undo()
    async with LocalRig(tmp_path) as again:
        assert (await again.run("true")).ending is Ending.SUCCEEDED
