"""`steelyard worker`: this process takes a worker's place in a run that another machine began."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.board import board_path
from steelyard.runtime.files import reason_of
from steelyard.runtime.hidden import forget_variable
from steelyard.runtime.join import ANY_INDEX, INDEX_VARIABLE, JOIN_VARIABLE, Join
from steelyard.runtime.private_file import read_private

WORKER_TARGET = "steelyard.app.remote_worker:RemoteWorker"
STANDARD_INPUT = "-"
DATASET = "dataset"
"""What a worker keeps its copy of the data set in, below its directory."""
COMPLETION_VARIABLE = "JOB_COMPLETION_INDEX"
"""By which a Job of Kubernetes numbers its pods."""


def find_join(file: str | None, index: int | None, environ: Mapping[str, str]) -> Join:
    """Return the join of one worker, from a file, standard input (`-`) or the environment.

    Raises:
        UsageError: there is none, it is no join, or which worker it is for was not said.
    """
    if file is not None:
        text = _read_input() if file == STANDARD_INPUT else read_private(Path(file), "the join")
    elif JOIN_VARIABLE in environ:
        text = environ[JOIN_VARIABLE]
    else:
        raise UsageError(
            "A worker needs the join of a run",
            expected=f"--join-file FILE, or the variable {JOIN_VARIABLE}",
            next_step="A run of --run-type remote writes one; see docs/distributed.md.",
        )
    join = Join.decode(text)
    found = join.for_worker(_index(join, index, environ))
    found.require_index()
    return found


def _index(join: Join, index: int | None, environ: Mapping[str, str]) -> int:
    if index is not None:
        return index
    if join.index != ANY_INDEX:
        return join.index
    for name in (INDEX_VARIABLE, COMPLETION_VARIABLE):
        if environ.get(name):
            try:
                return int(environ[name])
            except ValueError:
                raise UsageError(
                    f"{name} is not a number", got=environ[name], expected="a worker's number"
                ) from None
    return 0 if len(join.service_ids) == 1 else ANY_INDEX


def _read_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError("Can't read the join on the standard input: it is not text") from error


class WorkerEnd(NamedTuple):
    """How a worker ended: its exit code, and its directory where that is still there."""

    code: int
    directory: Path | None


def join_run(join: Join, scratch: str | None = None, wait_s: float = 0.0) -> WorkerEnd:
    """Be the worker of `join` until its run is over; return how it ended.

    Must be called from a process of one thread, without an event loop.

    Args:
        join: of one worker.
        scratch: its directory on this machine; a temporary one without it, which is removed
            when the run ended the worker and kept for its log when something else did.
        wait_s: how long a run that has not begun is waited for.

    Raises:
        UsageError: the run refuses it, or the directory has what no worker left there.
        FileError: the directory can't be used.
        EndpointUnreachableError: the run can't be reached.
    """
    from steelyard.runtime.keeper import keep_worker  # what it loads is for workers only

    forget_variable(JOIN_VARIABLE)  # neither the worker's children nor its neighbours need it
    directory = _scratch(scratch)
    code = 1
    try:
        code = keep_worker(join, WORKER_TARGET, directory, wait_s)
    finally:
        if scratch is None and (code == 0 or not (directory / "logs").exists()):
            shutil.rmtree(directory, ignore_errors=True)
    return WorkerEnd(code, directory if directory.exists() else None)


def _clear(directory: Path) -> None:
    """Take away what an earlier worker left there, and nothing that none did.

    Raises:
        UsageError: there is a data set, and no worker was here.
        OSError: it can't be taken away.
    """
    data, board = directory / DATASET, board_path(directory)
    if data.exists() and not board.is_file():
        raise UsageError(
            "This directory has something in it that a worker would replace",
            got=str(data), expected="an empty directory, or one of a worker before",
            next_step="Choose another with --scratch.",
        )  # fmt: skip
    if data.is_dir() and not data.is_symlink():
        shutil.rmtree(data)
    else:
        data.unlink(missing_ok=True)
    board.unlink(missing_ok=True)


def _scratch(given: str | None) -> Path:
    try:
        if given is None:
            return Path(tempfile.mkdtemp(prefix="steelyard-worker-"))
        directory = Path(given).expanduser().absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(directory)
    except OSError as error:
        raise FileError(
            f"The scratch directory can't be used: {reason_of(error)}",
            got=given,
            next_step="Choose another with --scratch.",
        ) from error
    return directory
