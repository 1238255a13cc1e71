"""How a run of ours is said in ClearML's words; both backends say it so."""

import argparse
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import msgspec

from steelyard.domain.track.events import Logged, Metric, RunEnded
from steelyard.domain.track.ports import RunFacts
from steelyard.domain.track.values import mark_of

GENERAL = "General"
"""The section of parameters in which ClearML looks first."""

TAGS = "Tags"
PROPERTIES = "properties"
"""What ClearML shows as a user's properties of a task."""

MS_PER_NS = 1_000_000
STATUSES = {"finished": "completed", "failed": "failed", "killed": "stopped"}
_STEP_MAX = 1 << 63
_NAME_MIN = 3

Items = dict[str, dict[str, dict[str, str]]]
"""Parameters: by section and name, an item with `section`, `name`, `value` and `type`."""


def services() -> tuple[Any, Any]:
    """Import ClearML's classes of tasks and of events.

    Importing it replaces methods of `argparse`, to send what scripts are called with: they are put
    back. What else it patches, it patches in `Task.init`, which nobody calls here.
    """
    parser = argparse.ArgumentParser
    names = ("parse_args", "parse_known_args", "add_subparsers")
    before = {name: parser.__dict__.get(name) for name in names}
    from clearml.backend_api.services import events, tasks

    for name, method in before.items():
        if method is not None:
            setattr(parser, name, method)
        elif name in parser.__dict__:
            delattr(parser, name)
    return tasks, events


def why_not(item: Logged) -> str:
    """Return why ClearML can't hold an item; empty when it can."""
    if not isinstance(item, Metric):
        return ""
    if mark_of(item.value):
        return "ClearML has no NaN and no infinities"
    if not -_STEP_MAX <= item.step < _STEP_MAX:
        return "the step has more than 64 bits"
    return ""


def title_and_series(name: str) -> tuple[str, str]:
    """Return plot and line of a metric: no two names have the same.

    `val/loss` is the line `loss` of the plot `val`; `loss` is line and plot, and so is `a/a`.
    """
    title, _, series = name.rpartition("/")
    if not title or not series or title == series:
        return name, name
    return title, series


def name_of(title: str, series: str) -> str:
    """Return the metric that `title_and_series` took apart."""
    return title if title == series else f"{title}/{series}"


def event_of(item: Metric, events: Any, task_id: str) -> Any:
    """Return a value as the event of ClearML's that holds it."""
    title, series = title_and_series(item.name)
    return events.MetricsScalarEvent(
        task=task_id, metric=title, variant=series, value=item.value, iter=item.step,
        timestamp=item.wall_ns // MS_PER_NS,
    )  # fmt: skip


def item_of(section: str, name: str, value: Any) -> dict[str, str]:
    """Return a parameter; ClearML keeps a text and the name of its type."""
    return {"section": section, "name": name, "value": text_of(value), "type": type(value).__name__}


def text_of(value: Any) -> str:
    """Return a parameter's value as a text: a list or a mapping as JSON, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, list | tuple | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def put(items: Items, section: str, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Put values into a section; return their items."""
    made = [item_of(section, name, value) for name, value in values.items()]
    items.setdefault(section, {}).update({item["name"]: item for item in made})
    return made


def tag_texts(items: Items) -> list[str]:
    """Return the tags as ClearML shows them, which are texts without a name."""
    return [f"{name}={item['value']}" for name, item in items.get(TAGS, {}).items()]


def facts_of(run: RunFacts) -> dict[str, str]:
    """Return the properties of a run that begins."""
    return {"run_id": run.run_id, "status": "running", "command": run.command}


def end_of(end: RunEnded) -> dict[str, str]:
    """Return the properties of a run that ended."""
    found = {"status": end.status}
    if end.failure is not None:
        found |= {"failure": f"{end.failure.type}: {end.failure.message}",
                  "traceback": end.failure.traceback}  # fmt: skip
    return found


def long_enough(name: str, what: str) -> str:
    """Return a name as ClearML takes it: three letters at least."""
    return name if len(name) >= _NAME_MIN else f"{what} {name}"


def artifact_path(name: str) -> str:
    """Return where an artifact's content goes: no character in it needs to be quoted in a URL."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(name).name)
    return f"artifacts/{sha256(name.encode()).hexdigest()[:16]}/{last}"
