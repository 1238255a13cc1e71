"""What a benchmark's controller and the process that tracks it say to each other."""

from typing import Any

import msgspec


class Opening(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first word: the run to be. Options still name variables instead of holding secrets."""

    run_id: str
    name: str
    project: str
    tags: dict[str, str]
    params: dict[str, Any]
    directory: str | None
    backends: dict[str, dict[str, Any]]
    routing: list[dict[str, Any]]


class Live(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How a phase stands at `at_ns` (CLOCK_MONOTONIC): figures by name."""

    at_ns: int
    phase: str
    values: dict[str, float]


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The last word: how the benchmark ended, and what it left.

    Attributes:
        status: as the benchmark's journal has it (`completed`, `cancelled`, `failed`).
        error: why nothing was measured; empty when something was.
        summary: the summary as plain data; empty when there is none.
        files: paths of what becomes an artifact, by its name.
        counts: of the controller's queue, for tags: events dropped and lost.
    """

    status: str
    error: str = ""
    summary: dict[str, Any] = {}
    files: dict[str, str] = {}
    counts: dict[str, int] = {}


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The run is begun."""

    run_id: str


class Heard(msgspec.Struct, frozen=True, tag=True):
    """So many live events are in the run's journal."""

    count: int


class Mirrored(msgspec.Struct, frozen=True, kw_only=True):
    """How far a tracker is: exact counts, and what it last said when it failed."""

    delivered: int
    dropped: int
    closed: bool
    error: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All is in the run's journal, and trackers had their time. `problems`: what was left out."""

    mirrors: dict[str, Mirrored]
    problems: list[str] = []


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The run can't be tracked, or not any more; why."""

    reason: str


ToTracking = Opening | Live | Ended
ToController = Opened | Heard | Done | Refused
