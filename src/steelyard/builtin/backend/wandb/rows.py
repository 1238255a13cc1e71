"""What W&B is told of what was logged: rows, and names that it takes; nothing here imports it."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params
from steelyard.domain.track.ports import RunFacts
from steelyard.kernel.units import NS_PER_S

STEP = "steelyard/step"
"""The column that has a row's step: W&B's own counts rows, as it can't go back."""

OURS = "steelyard"
"""The entry of a run's configuration that has what W&B has no place for."""

_RESERVED = frozenset({"_step", "_timestamp", "_runtime", "_wandb", STEP})
_TOGETHER_NS = NS_PER_S  # values of one step, logged within this time, share a row
_TAG_MAX = 64
_NAME_MAX = 128
_NOT_IN_PROJECTS = re.compile(r"[/\\#?%:\s]+")
_NOT_IN_ARTIFACTS = re.compile(r"[^A-Za-z0-9_.-]+")
_MARKS = {math.inf: "Infinity", -math.inf: "-Infinity"}


class Row(msgspec.Struct, frozen=True):
    """Values of one step, as one line of W&B's history."""

    step: int
    wall_ns: int
    values: dict[str, float]

    def columns(self) -> dict[str, Any]:
        """Return it with its step and time as W&B keeps them."""
        return {**self.values, STEP: self.step, "_timestamp": self.wall_ns / NS_PER_S}


def rows_of(items: Sequence[Logged]) -> list[Row | Params | Artifact | dict[str, str]]:
    """Return items as W&B takes them, in order: tags are mappings.

    Metrics that follow each other, have one step and come within a second share a row.
    """
    told: list[Row | Params | Artifact | dict[str, str]] = []
    for item in items:
        if isinstance(item, Metric):
            last = told[-1] if told else None
            if isinstance(last, Row) and _belongs(item, last):
                last.values[item.name] = item.value
            else:
                told.append(Row(item.step, item.wall_ns, {item.name: item.value}))
        elif isinstance(item, Params | Artifact):
            told.append(item)
        else:
            told.append(item.values)
    return told


def _belongs(item: Metric, row: Row) -> bool:
    return (
        item.step == row.step
        and item.name not in row.values
        and 0 <= item.wall_ns - row.wall_ns < _TOGETHER_NS
    )


def unfit(item: Logged) -> str:
    """Return why W&B can't be told of an item; empty when it can."""
    if isinstance(item, Metric):
        return f"metrics called {item.name}, which is W&B's own" if item.name in _RESERVED else ""
    if isinstance(item, Artifact):
        steps = item.name.split("/")
        bad = not item.name or item.name.startswith("/") or ".." in steps
        return "artifacts whose name leads elsewhere" if bad else ""
    if isinstance(item, Params):
        taken = sorted({OURS, "_wandb"} & set(item.values))
        return f"parameters of a name in use: {', '.join(taken)}" if taken else ""
    return ""


def config_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as W&B keeps them: numbers that JSON has not become texts."""
    return {key: _plain(value) for key, value in values.items() if key not in {OURS, "_wandb"}}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _MARKS.get(value, "NaN")
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def tag_texts(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return tags as W&B's page shows them, `key=value`; those too long are in the config only."""
    texts = (f"{key}={value}" if value else key for key, value in tags.items())
    return tuple(text for text in texts if 0 < len(text) <= _TAG_MAX)


def project_name(name: str) -> str:
    """Return a project's name without what W&B refuses in it."""
    return _NOT_IN_PROJECTS.sub("-", name)[:_NAME_MAX].strip("-") or "uncategorized"


def artifact_name(run_id: str, name: str) -> str:
    """Return the name of the W&B artifact that holds a file; its own name is in it as it was."""
    plain = _NOT_IN_ARTIFACTS.sub("-", name)
    text = f"run-{run_id}-{plain}"
    if plain == name and len(text) <= _NAME_MAX:
        return text
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{text[: _NAME_MAX - 9]}-{digest}"


def first_config(run: RunFacts) -> dict[str, Any]:
    """Return what stands under `steelyard` in the run's configuration."""
    return {
        "run_id": run.run_id, "host": run.host_id, "command": run.command,
        "started_ns": run.started_ns, "tags": dict(run.tags),
    }  # fmt: skip
