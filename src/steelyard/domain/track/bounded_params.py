"""Hyperparameters as they are found: within bounds, and never the text of an unknown object.

`log_params` is told what to keep, and refuses what it can't. What is captured by itself is nobody's
to mend: here every structure gives something, and what is too much is left out and counted.
"""

from collections.abc import Mapping
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from steelyard.domain.track.params import fields_of, to_plain

_PLAIN = (str, int, float, bool, type(None), Enum)
# Types of the standard library whose text is their value.
_WITH_TEXT = frozenset({"datetime", "decimal", "fractions", "uuid", "pathlib", "ipaddress"})
_NAME_MAX = 500


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is taken of one structure.

    Attributes:
        params_max: values.
        depth_max: levels; what lies below is left out.
        items_max: elements of a list; the rest is only counted.
        text_max: characters of a value.
    """

    params_max: int = 1_000
    depth_max: int = 8
    items_max: int = 64
    text_max: int = 1_000


class Taken(msgspec.Struct):
    """What was taken: plain values by dotted name, and how many were left out, at least."""

    values: dict[str, Any]
    left_out: int = 0


def take_params(given: Any, prefix: str = "", bounds: Bounds | None = None) -> Taken:
    """Return the hyperparameters in a dict, dataclass, model, namespace, or single value.

    Args:
        given: the structure; a single value needs a prefix, which is its name then.
        prefix: in front of each name.
        bounds: what is taken at most.
    """
    taken = Taken({})
    walk = _Walk(bounds or Bounds(), taken)
    fields = fields_of(given)
    if fields is not None:
        walk.structure(fields, f"{prefix}." if prefix else "", 1)
    elif prefix:
        walk.value(prefix, given, 1)
    else:
        taken.left_out += 1
    return taken


class _Walk:
    def __init__(self, bounds: Bounds, taken: Taken) -> None:
        self._bounds = bounds
        self._taken = taken
        # Few values may hang on a great many branches.
        self._looks_left = 20 * bounds.params_max

    def structure(self, fields: Mapping[Any, Any], prefix: str, depth: int) -> None:
        for key, value in fields.items():
            self._looks_left -= 1
            if len(self._taken.values) >= self._bounds.params_max or self._looks_left < 0:
                self._taken.left_out += 1
                return
            self.value(f"{prefix}{_key(key)}", value, depth)

    def value(self, name: str, value: Any, depth: int) -> None:
        inner = fields_of(value)
        if inner is None and isinstance(value, list | tuple):
            inner = self._numbered(value)
        if inner:
            if depth >= self._bounds.depth_max:
                self._taken.left_out += 1
            else:
                self.structure(inner, f"{name}.", depth + 1)
        elif not 0 < len(name) <= _NAME_MAX or "\0" in name or name in self._taken.values:
            self._taken.left_out += 1
        else:
            self._taken.values[name] = {} if inner is not None else self._shown(value)

    def _numbered(self, items: Any) -> dict[int, Any] | None:
        first = list(islice(items, self._bounds.items_max))
        if all(fields_of(item) is None and not isinstance(item, list | tuple) for item in first):
            return None
        self._taken.left_out += max(0, len(items) - len(first))
        return dict(enumerate(first))

    def _shown(self, value: Any) -> Any:
        if isinstance(value, list | tuple | set | frozenset):
            shown = [self._shown(item) for item in islice(value, self._bounds.items_max)]
            if isinstance(value, set | frozenset):
                shown.sort(key=str)
            if len(value) > len(shown):
                shown.append(f"… {len(value)} items")
            return shown
        plain = _plain(value)
        if isinstance(plain, str) and len(plain) > self._bounds.text_max:
            return plain[: self._bounds.text_max] + "…"
        return plain


def _key(key: Any) -> str:
    return str(to_plain(key)) if isinstance(key, _PLAIN) else _described(key)


def _plain(value: Any) -> Any:
    """Return a single value: what is unknown becomes its type, as its text may be anything."""
    kind = type(value)
    if isinstance(value, _PLAIN) or kind.__module__.partition(".")[0] in _WITH_TEXT:
        return to_plain(value)
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        return to_plain(value)
    return _described(value)


def _described(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, partial):
        return f"partial({_described(value.func)})"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{getattr(value, '__module__', '')}.{value.__qualname__}".lstrip(".")
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"<{name} {'x'.join(map(str, shape))} {getattr(value, 'dtype', '')}>".replace(
            " >", ">"
        )
    return f"<{name}>"
