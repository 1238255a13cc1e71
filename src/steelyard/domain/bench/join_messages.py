"""What is said besides `messages` when workers are on other machines than the controller."""

import msgspec

CHUNK_BYTES_MAX = 1 << 18
"""Bytes of a data set in one answer: a worker takes it in within a fraction of a millisecond."""


class HostIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as far as times and reports care.

    Attributes:
        name: its host name.
        host_id: as records and events have it.
        clock_id: two processes of the same `clock_id` read the same CLOCK_MONOTONIC; empty when
            that can't be told.
    """

    name: str
    host_id: str
    clock_id: str = ""


class JoinRun(msgspec.Struct, frozen=True, kw_only=True):
    """The keeper of a worker to the controller, as a command: may this worker take its place?"""

    service_id: str
    index: int
    host: HostIdentity
    pid: int
    version: str


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Its answer, when it may: the controller's machine."""

    host: HostIdentity


class RoleSample(msgspec.Struct, frozen=True, kw_only=True):
    """A keeper to the controller, a few times a second: what the kernel says of its worker.

    `state` and `cpu_ticks` are as in `/proc/PID/stat`.
    """

    service_id: str
    state: str
    cpu_ticks: int


class RoleEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A keeper to the controller: its worker's process is gone; so far had it sent its leases.

    `code` is 0 after an end in order; `leases` has lease ids with their next unsent index,
    `last_lease` the highest id received.
    """

    service_id: str
    code: int
    reason: str
    leases: dict[int, int]
    last_lease: int


class EndRole(msgspec.Struct, frozen=True):
    """Controller to a keeper: kill the worker."""

    service_id: str


class ClockAsk(msgspec.Struct, frozen=True):
    """A worker to the controller, as a command: what time is it?"""


class ClockAnswer(msgspec.Struct, frozen=True):
    """Its answer, CLOCK_MONOTONIC ns: when the question was heard, and when it was answered."""

    heard_ns: int
    answered_ns: int


class AskSecrets(msgspec.Struct, frozen=True):
    """A worker to the controller, as a command: values of variables that its plan names."""

    names: tuple[str, ...]


class Secrets(msgspec.Struct, frozen=True):
    """Its answer: those that are set where the run was started."""

    values: dict[str, str]

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Secrets({len(self.values)} values)"


class ReadDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A worker to the dataset manager, as a command: the bytes of a file from `offset` on."""

    name: str
    offset: int


class DatasetBytes(msgspec.Struct, frozen=True):
    """Its answer: at most `CHUNK_BYTES_MAX` bytes; none at the end of what is written."""

    data: bytes
