"""What a process that carries attempts out keeps of them, and what it waits for."""

import os
import socket
import sys

from local_rig import LocalRig

from steelyard.domain.fleet.model import Ending

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
            outcome = await rig.outcome(lease, within_s=10)
            os.close(held)
    assert outcome.ending is Ending.SUCCEEDED, outcome.error
    assert outcome.result["stdout"] == "handed over\n"
