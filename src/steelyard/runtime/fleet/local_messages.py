"""What a coordinator and its local worker's process say to each other, over the worker's pipes."""

from typing import Any

import msgspec

from steelyard.domain.fleet.model import Lease, Outcome, TaskSpec
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.runtime.fleet.local_processes import MARK, ProcessLimits

PASSED_ON = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH",
    "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""Variables of the worker that attempts get too, with all `LC_*`: none in which secrets stand."""

_FOR_WORKERS = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "PLAYWRIGHT_BROWSERS_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "PYTHONHOME", "PYTHONUSERBASE",
    "PYTHONNOUSERSITE", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
    "PYTHONSAFEPATH", "PYTHONUTF8", "PYTHONHASHSEED", "PYTHONFAULTHANDLER", "PYTHONDEVMODE", MARK,
)  # fmt: skip
"""Variables by which a worker itself starts, and finds what its machine has."""

MESSAGE_BYTES_MAX = 64 << 20
"""Bytes of what a worker or one of its processes says at once; results are bounded far below."""


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a worker works; its first message.

    Attributes:
        worker_id: its name.
        mark: stands in the variable `MARK` of all that it runs.
        directory: of the fleet; attempts are below.
        slots: attempts at once, 0 for one a core.
        place, count: which of how many workers that share this machine it is.
        heartbeat_s: how often it says what it works on.
        grace_s: how long an attempt that is to end may take before it is killed.
        environment: names of further variables that attempts get.
        log_bytes_max: of each output's beginning.
        limits: of attempts; those of a task's requirements are lower.
        labels: of the worker.
        detect: look for programs and devices; otherwise only CPU, memory and disk.
        plugin_dirs: where further kinds of tasks are found.
        task_kinds: options of kinds of tasks, by name.
    """

    worker_id: str
    mark: str
    directory: str
    slots: int = 0
    place: int = 0
    count: int = 1
    heartbeat_s: float = 2.0
    grace_s: float = 0.5
    environment: tuple[str, ...] = ()
    log_bytes_max: int = 16 << 20
    limits: ProcessLimits = ProcessLimits()
    labels: dict[str, str] = {}
    detect: bool = True
    plugin_dirs: tuple[str, ...] = ()
    task_kinds: dict[str, dict[str, Any]] = {}


class Start(msgspec.Struct, frozen=True, tag=True):
    """Carry out an attempt."""

    lease: Lease
    spec: TaskSpec


class Begin(msgspec.Struct, frozen=True, tag=True):
    """What a worker gives one of its processes; `env` is what the attempt gets of the worker's."""

    lease: Lease
    spec: TaskSpec
    env: dict[str, str]


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """End an attempt."""

    token: int


class Joined(msgspec.Struct, frozen=True, tag=True):
    """The worker is ready."""

    capabilities: Capabilities
    slots: int


class Heard(msgspec.Struct, frozen=True, tag=True):
    """The worker lives, and works on these."""

    tokens: tuple[int, ...]


class Started(msgspec.Struct, frozen=True, tag=True):
    """An attempt's program runs."""

    token: int
    pid: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """An attempt has ended, and nothing of it is left."""

    token: int
    outcome: Outcome


ToWorker = Setup | Start | Cancel
FromWorker = Joined | Heard | Started | Ended


def passed_on(environ: dict[str, str], more: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of a worker that attempts get."""
    names: set[Any] = {*PASSED_ON, *more}
    return {
        name: value for name, value in environ.items() if name in names or name.startswith("LC_")
    }


def environment_of_worker(environ: dict[str, str], more: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of a coordinator that its worker gets: no more than it works with.

    Attempts run as the worker's user, who can read the environment of all its processes in `/proc`:
    so what they do not get, the worker does not have.
    """
    own = {
        name: value
        for name, value in environ.items()
        if name in _FOR_WORKERS or name.startswith("COVERAGE_")
    }
    return passed_on(environ, more) | own
