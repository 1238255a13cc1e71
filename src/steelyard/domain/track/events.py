"""The facts of a tracked run: as its journal holds them, and as mirrors are told them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

SCRIPT = "script"
"""The source of what a script logs itself; collectors and frameworks name theirs."""


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run begins, or goes on after it ended (`resumed`).

    Attributes:
        name: what it tries; many runs may share it.
        project: what it belongs to.
        tags: texts by name.
        pid: the process that logs.
        command: how it was called, without secrets.
    """

    name: str
    project: str
    tags: dict[str, str] = {}
    pid: int = 0
    command: str = ""
    resumed: bool = False


class MetricsLogged(msgspec.Struct, frozen=True, omit_defaults=True):
    """Values of one or more metrics at one step."""

    step: int
    values: dict[str, float]
    source: str = SCRIPT


class ParamsLogged(msgspec.Struct, frozen=True):
    """Parameters by dotted name; a later value of a name replaces the earlier."""

    values: dict[str, Any]


class TagsSet(msgspec.Struct, frozen=True):
    """Tags by name; a later value of a name replaces the earlier."""

    values: dict[str, str]


class ArtifactLogged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file as it was then: the content with this hash, under this name."""

    name: str
    sha256: str
    size: int
    source: str = SCRIPT


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a run failed: the exception's type, its message and the traceback."""

    type: str
    message: str = ""
    traceback: str = ""


class RunEnded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run ended as its script wanted (`finished`) or by an exception (`failed`).

    `unwritten` counts what could not be journalled, such as on a full disk. `ended_ns` is Unix time
    and told to mirrors, which may hear of the end days later; the journal has it with the event.
    """

    status: str
    failure: Failure | None = None
    unwritten: int = 0
    ended_ns: int = 0


Fact = RunStarted | MetricsLogged | ParamsLogged | TagsSet | ArtifactLogged | RunEnded

TYPES: dict[type, str] = {
    RunStarted: "track.run.started",
    MetricsLogged: "track.metrics",
    ParamsLogged: "track.params",
    TagsSet: "track.tags",
    ArtifactLogged: "track.artifact",
    RunEnded: "track.run.ended",
}
METRICS_TYPE = TYPES[MetricsLogged]
_BY_NAME = {name: cls for cls, name in TYPES.items()}


def payload_of(fact: Fact) -> dict[str, Any]:
    """Return what the journal keeps of a fact beside its type."""
    return {name: getattr(fact, name) for name in fact.__struct_fields__}


def fact_of(type: str, payload: Mapping[str, Any]) -> Fact | None:
    """Return the fact in a journal event; None for a type that is none of ours.

    Raises:
        msgspec.ValidationError: the payload is not what the type says.
    """
    cls = _BY_NAME.get(type)
    return None if cls is None else msgspec.convert(payload, cls)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One value, as a mirror is told it. `value` may be NaN or infinite."""

    name: str
    value: float
    step: int
    wall_ns: int
    source: str = SCRIPT


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters, as a mirror is told them."""

    values: dict[str, Any]
    wall_ns: int


class Tags(msgspec.Struct, frozen=True, kw_only=True):
    """Tags, as a mirror is told them."""

    values: dict[str, str]
    wall_ns: int


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A file, as a mirror is told it: `path` holds its content and must not be changed."""

    name: str
    sha256: str
    size: int
    path: str
    wall_ns: int
    source: str = SCRIPT


Logged = Metric | Params | Tags | Artifact


def logged(fact: Fact, wall_ns: int, path_of: Mapping[str, str]) -> Sequence[Logged]:
    """Return what a mirror is told of a fact: nothing of a run's start and end.

    Args:
        fact: from the journal.
        wall_ns: when it was logged.
        path_of: where the content with a hash lies.
    """
    if isinstance(fact, MetricsLogged):
        return [
            Metric(name=name, value=value, step=fact.step, wall_ns=wall_ns, source=fact.source)
            for name, value in fact.values.items()
        ]
    if isinstance(fact, ParamsLogged):
        return [Params(values=fact.values, wall_ns=wall_ns)]
    if isinstance(fact, TagsSet):
        return [Tags(values=fact.values, wall_ns=wall_ns)]
    if isinstance(fact, ArtifactLogged):
        return [
            Artifact(
                name=fact.name,
                sha256=fact.sha256,
                size=fact.size,
                path=path_of[fact.sha256],
                wall_ns=wall_ns,
                source=fact.source,
            )
        ]
    return []
