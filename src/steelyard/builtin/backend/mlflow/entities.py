"""What MLflow can hold of what was logged, by its limits; nothing here imports MLflow."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from steelyard.domain.track.events import Artifact, Logged, Metric, Params
from steelyard.kernel.units import NS_PER_MS

BATCH_MAX = 1_000
"""Metrics, parameters and tags in one request."""

TEXTS_MAX = 100
"""Parameters, and tags, in one request."""

REQUEST_BYTES_MAX = 900_000
"""A server refuses requests of a million bytes; this is an estimate."""

NAME_MAX = 250
PARAM_MAX = 6_000
TAG_MAX = 8_000

_METRIC_BYTES = 120  # value, step, time and punctuation of one metric in a request
_TEXT_BYTES = 30
_FOREIGN = re.compile(r"[^\w/.\- :]")
_FOREIGN_IN_PATH = re.compile(r"[^\w/.\- ]")
_LOOKS_ESCAPED = re.compile("_(?=0x)")
_ESCAPED = re.compile(r"_0x([0-9a-f]+)_")

Kind = Literal["metric", "param", "tag"]


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in a request: `index` is the item it came from."""

    index: int
    kind: Kind
    name: str
    value: float | str
    step: int = 0
    time_ms: int = 0

    @property
    def identity(self) -> tuple[str, int, int, str]:
        """What MLflow tells two values of a run apart by."""
        return self.name, self.time_ms, self.step, repr(self.value)


class Part(msgspec.Struct, frozen=True):
    """What goes out together: entities in one request, or one artifact.

    Attributes:
        end: the number of items from the front that are done when this part is.
    """

    end: int
    entities: Sequence[Entity] = ()
    artifact: Artifact | None = None
    artifact_index: int = 0


def mlflow_name(name: str, *, is_path: bool = False) -> str:
    """Return a name as MLflow takes it: what it refuses becomes `_0xHEX_` of the character.

    Refused are characters other than letters, digits and `_ - . / :` and space, and what would
    be another name if it were a path. `own_name` turns it back; names that MLflow takes stay.

    Args:
        name: as it was logged.
        is_path: an artifact's, which goes into a URL and must not have `:` either.
    """
    escaped = _LOOKS_ESCAPED.sub(_hex, name)
    escaped = (_FOREIGN_IN_PATH if is_path else _FOREIGN).sub(_hex, escaped)
    steps = escaped.split("/")
    # Of an empty step the slash before it goes, or the one behind it at the beginning.
    text = steps[0] if steps[0] not in {".", ".."} else steps[0].replace(".", "_0x2e_")
    for step in steps[1:]:
        plain = step.replace(".", "_0x2e_") if step in {".", ".."} else step
        text += ("/" if plain and text else "_0x2f_") + plain
    return text


def own_name(name: str) -> str:
    """Return the name that `mlflow_name` was given."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def _hex(found: re.Match[str]) -> str:
    return f"_0x{ord(found[0]):x}_"


def text_of(value: Any) -> str:
    """Return a parameter as the text that MLflow shows; structures become JSON."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def entities_of(index: int, item: Logged) -> Iterator[Entity | str]:
    """Return what goes to MLflow of an item that is no artifact; a text is why something can't."""
    if isinstance(item, Metric):
        yield _metric(index, item)
        return
    if isinstance(item, Artifact):
        return
    kind: Kind = "param" if isinstance(item, Params) else "tag"
    limit = PARAM_MAX if kind == "param" else TAG_MAX
    for key, value in item.values.items():
        text = text_of(value)
        why = _unfit(key) or _too_long(kind, key, text, limit)
        yield why or Entity(index=index, kind=kind, name=mlflow_name(key), value=text)


def _metric(index: int, item: Metric) -> Entity | str:
    if math.isinf(item.value):
        return "infinities: MLflow keeps the largest finite number for them"
    return _unfit(item.name) or Entity(
        index=index, kind="metric", name=mlflow_name(item.name), value=item.value,
        step=item.step, time_ms=item.wall_ns // NS_PER_MS,
    )  # fmt: skip


def _unfit(name: str) -> str:
    length = len(mlflow_name(name))
    if 0 < length <= NAME_MAX:
        return ""
    what = f"'{name[:40]}...' has {length} characters, as MLflow writes it" if name else "empty"
    return f"names of more than {NAME_MAX} characters or none: {what}"


def _too_long(kind: str, key: str, text: str, limit: int) -> str:
    if len(text) <= limit:
        return ""
    return f"a {kind} of more than {limit} characters: {key}"


def parts_of(items: Sequence[Logged], refused: dict[int, str]) -> Iterator[Part]:
    """Return what to send, in order; what can't be is noted in `refused` as it is come to."""
    pending: list[Entity] = []
    room = _Room()
    for index, item in enumerate(items):
        if isinstance(item, Artifact):
            if pending:
                yield Part(index, pending)
                pending, room = [], _Room()
            yield Part(index + 1, artifact=item, artifact_index=index)
            continue
        for found in entities_of(index, item):
            if isinstance(found, str):
                refused.setdefault(index, found)
                continue
            if not room.takes(found):
                # An item may be split: it counts as done with its last part only.
                yield Part(index, pending)
                pending, room = [], _Room()
                room.takes(found)
            pending.append(found)
    yield Part(len(items), pending)


class _Room:
    """What fits into one request."""

    def __init__(self) -> None:
        self._bytes = 0
        self._count = 0
        self._names: dict[str, set[str]] = {"param": set(), "tag": set()}

    def takes(self, entity: Entity) -> bool:
        """Count it and return True, unless it belongs into the next request."""
        weight = _weight(entity)
        names = self._names.get(entity.kind)
        if names is not None and (entity.name in names or len(names) == TEXTS_MAX):
            return False
        if self._count == BATCH_MAX or (self._count and self._bytes + weight > REQUEST_BYTES_MAX):
            return False
        self._count += 1
        self._bytes += weight
        if names is not None:
            names.add(entity.name)
        return True


def _weight(entity: Entity) -> int:
    if isinstance(entity.value, str):
        return _TEXT_BYTES + _length(entity.name) + _length(entity.value)
    return _METRIC_BYTES + _length(entity.name)


def _length(text: str) -> int:
    """Return its length in JSON, roughly: letters that are not ASCII take six bytes each."""
    return len(text) if text.isascii() else 6 * len(text)


class Repeats:
    """Tells values that MLflow would take for one that it has: same name, step, value and time.

    MLflow counts in milliseconds, so a script can do that; and this is what makes sending a batch
    again harmless. Only the latest millisecond is remembered.
    """

    def __init__(self) -> None:
        self._time_ms = -1
        self._kept: set[tuple[str, int, int, str]] = set()

    def split(self, entities: Iterable[Entity]) -> tuple[list[Entity], list[Entity]]:
        """Return what is new, and what is not."""
        seen = set(self._kept)
        new, old = [], []
        for entity in entities:
            if entity.kind == "metric" and entity.identity in seen:
                old.append(entity)
                continue
            new.append(entity)
            if entity.kind == "metric":
                seen.add(entity.identity)
        return new, old

    def keep(self, entities: Iterable[Entity]) -> None:
        """Remember what MLflow has now."""
        for entity in entities:
            if entity.kind != "metric":
                continue
            if entity.time_ms != self._time_ms:
                self._time_ms, self._kept = entity.time_ms, set()
            self._kept.add(entity.identity)
