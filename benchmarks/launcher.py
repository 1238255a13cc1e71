"""Run a command and say what it and every process it left or made used: exact, not sampled.

    python -m benchmarks.launcher RESULT.json COMMAND...

This process is a subreaper, so that descendants whose parents end first are waited for here; the
kernel's own accounts of waited-for children (RUSAGE_CHILDREN) are then those of the whole tree.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _wait_for_all(first: int) -> int:
    """Reap until no descendant is left; return the exit code of `first`."""
    code = 0
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == first:
            code = os.waitstatus_to_exitcode(status)


def main() -> None:
    """Run, wait, write the result, and exit as the command did."""
    target, command = Path(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    begun_ns = time.monotonic_ns()
    process = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: _pass_on(process.pid, got))
    code = _wait_for_all(process.pid)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "begun_ns": begun_ns,
        "wall_s": (time.monotonic_ns() - begun_ns) / 1e9,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "exit_code": code,
    }
    target.write_text(json.dumps(result), encoding="utf-8")
    sys.exit(code if code >= 0 else 128 - code)


def _pass_on(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    main()
