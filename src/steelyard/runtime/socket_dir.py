"""Where the socket of a run's bus lies: a private directory with a short path."""

import contextlib
import os
import tempfile
from pathlib import Path

from steelyard.runtime.bus_port import BusError

IPC_PATH_MAX = 107
SOCKET_NAME = "bus.sock"


def make_socket_dir() -> Path:
    """Return a new directory of mode 0700 with a path short enough for an ipc socket.

    Raises:
        BusError: no directory for temporary files has a short enough path.
    """
    for parent in (None, "/tmp"):  # noqa: S108 - mkdtemp makes a private directory in it
        directory = Path(tempfile.mkdtemp(prefix="steelyard-", dir=parent))
        if len(os.fsencode(directory / SOCKET_NAME)) <= IPC_PATH_MAX:
            return directory
        directory.rmdir()
    raise BusError(
        "the path of the bus socket is too long",
        got=tempfile.gettempdir(),
        expected=f"at most {IPC_PATH_MAX} bytes with the socket's name",
        next_step="Set TMPDIR to a directory with a short path.",
    )


def ipc_address(directory: Path) -> str:
    """Return the address of the bus whose socket lies in `directory`."""
    return f"ipc://{directory / SOCKET_NAME}"


def remove_socket_dir(directory: Path) -> None:
    """Remove what `make_socket_dir` made; nothing happens when another process was faster."""
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()
