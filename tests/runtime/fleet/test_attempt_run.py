"""What a process that carries attempts out keeps of them, and what it waits for."""

import os
import socket
import sys

import pytest
from local_rig import LocalRig

from steelyard.domain.fleet.attempts import Ran, Work
from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.runtime.fleet import attempt_run
from steelyard.runtime.fleet.attempt_logs import attempts_of, task_directory, task_of
from steelyard.runtime.fleet.local_messages import Setup

OPEN_FILES = "ls /proc/$PPID/fd | wc -l"
"""Of the process that carries the attempt out."""

HANDED_OVER = """
import socket, sys
there = socket.socket(socket.AF_UNIX)
there.connect(sys.argv[1])
socket.send_fds(there, [b"x"], [1])
print("handed over", flush=True)
"""


async def test_attempts_that_can_not_be_run_leave_no_file_open(tmp_path):
    """A process that carries out a thousand attempts would run out of files."""
    async with LocalRig(tmp_path, slots=1) as rig:
        for payload in ({"argv": ["no-such-program"]}, {"argv": ["true"], "cwd": "no-such-place"}):
            before = (await rig.run(OPEN_FILES)).result["stdout"]
            for _ in range(5):
                outcome = await rig.run(payload=payload)
                assert outcome.error.endswith("no such file or directory")
            assert (await rig.run(OPEN_FILES)).result["stdout"] == before


async def test_an_output_that_a_stranger_holds_open_does_not_keep_an_attempt_from_its_end(tmp_path):
    """Such as a daemon that another user's program started: it can't be ended from here."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        async with LocalRig(tmp_path / "fleet") as rig:
            argv = [sys.executable, "-c", HANDED_OVER, str(tmp_path / "door")]
            lease = await rig.submit(payload={"argv": argv})
            await rig.until(lambda: rig.said("started", lease))
            with door.accept()[0] as stranger:
                _, (held,), _, _ = socket.recv_fds(stranger, 1, 1)
            outcome = await rig.outcome(lease)
            os.close(held)
    assert outcome.ending is Ending.SUCCEEDED, outcome.error
    assert outcome.result["stdout"] == "handed over\n"


async def test_a_task_may_take_months(tmp_path):
    async with LocalRig(tmp_path) as rig:
        outcome = await rig.run("echo done", timeout_s=100 * 86_400.0)
    assert (outcome.ending, outcome.result["stdout"]) == (Ending.SUCCEEDED, "done\n")


@pytest.mark.parametrize("task_id", ["a" + "/" * 199, "a" + ":+@=" * 49, "a,b", "a/b%2C"])
async def test_every_id_that_a_task_can_have_has_a_directory(tmp_path, task_id):
    async with LocalRig(tmp_path) as rig:
        lease = await rig.submit("echo done", task_id=task_id)
        assert (await rig.outcome(lease)).ending is Ending.SUCCEEDED
    (place,) = (tmp_path / "attempts").iterdir()
    assert task_of(place.name) == task_id
    assert attempts_of(tmp_path, task_id) == [rig.attempt(lease)]


@pytest.mark.parametrize(
    "payload",
    [
        {"argv": ["true"], "files": {"x" * 300: ""}},
        {"argv": ["true"], "files": {"a": "", "a/b": ""}},
        {"argv": ["true"], "files": {"a/b": "", "a": ""}},
        {"argv": ["true"], "cwd": "a\0b"},
    ],
    ids=["long", "below-a-file", "a-directory", "nul"],
)
async def test_a_task_that_no_worker_can_carry_out_fails_and_no_worker_is_blamed(tmp_path, payload):
    """A refusal would count against the worker, which then gets no tasks for a while."""
    async with LocalRig(tmp_path) as rig:
        outcome = await rig.run(payload=payload)
    assert outcome.ending is Ending.FAILED
    assert " can't be " in outcome.error


class Odd:
    """A kind of tasks that returns what it is told to."""

    def __init__(self, work=None, outcome=None):
        self.returns = work, outcome

    def work(self, spec, directory):
        return self.returns[0]

    def outcome(self, spec, ran):
        return self.returns[1]


def odd_attempt(directory, kind):
    setup = Setup(worker_id="w", mark="", directory=str(directory))
    lease = Lease(task_id="t", worker_id="w", attempt=1, token=1)
    return attempt_run.Attempt(setup, lease, TaskSpec(task_id="t", kind="odd"), kind, {})


@pytest.mark.parametrize(
    "said",
    [
        None, {"ending": "well"}, Outcome(ending="well"), Outcome(ending=Ending.FAILED, error=7),
        Outcome(ending=Ending.CANCELLED), Outcome(ending=Ending.LOST),
    ],
)  # fmt: skip
def test_what_a_kind_says_that_is_no_judgement_fails_its_attempt_and_harms_no_worker(
    tmp_path, said
):
    """A worker could not read it, and would end with all that it runs; or try it without end."""
    attempt = odd_attempt(tmp_path, Odd(Work(argv=("true",)), said))
    ran = Ran(directory=str(tmp_path), exit_code=0)
    outcome = attempt_run._judged(attempt, ran, None, "task_kind/odd")
    assert outcome.ending is Ending.FAILED
    assert "Plugin task_kind/odd failed to tell what an attempt came to" in outcome.error


def test_a_kind_that_names_no_program_fails_its_attempt(tmp_path):
    outcome = attempt_run.carry_out(odd_attempt(tmp_path, Odd()), None, print)
    assert outcome.ending is Ending.FAILED
    assert "task_kind/odd failed to say what to run: TypeError" in outcome.error


def test_what_a_program_makes_beside_its_attempts_is_none(tmp_path):
    for name in ("1-7", "x", "2-9", "3-", "1-7-2"):
        (task_directory(tmp_path, "t") / name).mkdir(parents=True)
    assert [each.name for each in attempts_of(tmp_path, "t")] == ["1-7", "2-9"]
