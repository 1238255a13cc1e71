"""The simulated server as a process of its own beside a run that names no server."""

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from steelyard.kernel.errors import SteelyardError

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0
_READY = "listening on "


@contextmanager
def embedded_mock(options: tuple[str, ...] = ()) -> Iterator[str]:
    """Run `steelyard mock` on a free loopback port for as long as the block; yield its URL.

    Args:
        options: more flags of `steelyard mock`.

    Raises:
        SteelyardError: it did not come up.
    """
    command = [sys.executable, "-m", "steelyard", "mock", "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield _wait_for_url(process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_for_url(process: "subprocess.Popen[str]") -> str:
    if process.stdout is None:
        message = "the simulated server was started without a pipe"
        raise RuntimeError(message)
    while select.select([process.stdout], [], [], START_TIMEOUT_S)[0]:
        line = process.stdout.readline()
        if not line:
            break
        if _READY in line:
            return line.split(_READY, 1)[1].split()[0]
    raise SteelyardError(
        "The embedded simulated server did not start",
        expected=f"a line with '{_READY}URL' within {START_TIMEOUT_S:g} s",
        next_step="Run `steelyard mock --port 0` to see why, or name a server with --url.",
    )
