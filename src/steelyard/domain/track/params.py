"""Parameters: whatever structure they come in, kept as plain values by dotted name."""

from collections.abc import Iterator, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any

from steelyard.kernel.errors import UsageError

DEPTH_MAX = 32
PARAMS_MAX = 10_000
TEXT_MAX = 16_384
"""Characters of a text value that are kept; a longer one ends in an ellipsis."""

_INT_MAX = 2**63
_DECIMAL_BITS = 8_192
_NAME_MAX = 4_096


def clean_text(text: str) -> str:
    r"""Return a text that any file can hold: lone surrogates become their escapes (`\udc80`)."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def flatten_params(params: Any) -> dict[str, Any]:
    """Return parameters as plain values by dotted name: `{"a": {"b": 1}}` gives `{"a.b": 1}`.

    Dicts, dataclasses, pydantic models, msgspec structs, argparse namespaces and named tuples are
    gone into. A list of plain values stays a list; one of structures is numbered (`layers.0.size`).
    Numbers of other libraries become Python's; everything else becomes its text.

    Raises:
        UsageError: it is none of these, goes deeper than `DEPTH_MAX` (or in a circle), has more
            than `PARAMS_MAX` values, or two of them share a name.
    """
    fields = fields_of(params)
    if fields is None:
        raise UsageError(
            "Parameters have names",
            got=params,
            expected="a dict, dataclass, model or namespace",
            next_step='Write log_params({"name": value}).',
        )
    flat: dict[str, Any] = {}
    for name, value in _walk(fields, "", 1):
        if not 0 < len(name) <= _NAME_MAX or "\0" in name:
            raise UsageError(
                "The name of a parameter can't be used",
                got=name[:80],
                expected=f"1 to {_NAME_MAX} characters, none of them NUL",
            )
        if name in flat:
            raise UsageError(f"Two parameters are called '{name}'", next_step="Rename one of them.")
        if len(flat) == PARAMS_MAX:
            raise UsageError(
                "Too many parameters",
                expected=f"at most {PARAMS_MAX}",
                next_step="Log large structures as an artifact.",
            )
        flat[name] = value
    return flat


def fields_of(value: Any) -> Mapping[Any, Any] | None:
    """Return the named parts of a structure, None when it has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type | Enum):
        return None
    names = getattr(value, "__dataclass_fields__", None) or getattr(
        value, "__struct_fields__", None
    )
    names = names or getattr(type(value), "model_fields", None) or getattr(value, "_fields", None)
    names = names or tuple(a.name for a in getattr(type(value), "__attrs_attrs__", ()))
    if names and not isinstance(names, Mapping | tuple):
        return None
    if names:
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    # argparse's Namespace is told by its own method: importing argparse for this would cost more.
    if isinstance(value, SimpleNamespace) or hasattr(type(value), "_get_kwargs"):
        return dict(vars(value))
    return None


def _walk(fields: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > DEPTH_MAX:
        raise UsageError(
            "Parameters are nested too deeply, or in a circle",
            got=prefix.rstrip("."),
            expected=f"at most {DEPTH_MAX} levels",
        )
    for key, value in fields.items():
        name = clean_text(f"{prefix}{key}")
        inner = fields_of(value)
        if inner is None and isinstance(value, list | tuple) and not _is_plain_list(value):
            inner = dict(enumerate(value))
        if inner:
            yield from _walk(inner, f"{name}.", depth + 1)
        else:
            yield name, {} if inner is not None else to_plain(value)


def _is_plain_list(value: Any) -> bool:
    return not any(fields_of(item) is not None or isinstance(item, list | tuple) for item in value)


def to_plain(value: Any) -> Any:
    """Return `value` as journals and JSON can hold it."""
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str | int | float) else value.name
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if -_INT_MAX <= value < _INT_MAX else _big(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_plain(item) for item in value), key=str)
    if not isinstance(value, str) and getattr(value, "shape", None) == ():
        return to_plain(value.item())
    text = clean_text(str(value))
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"


def _big(value: int) -> str:
    """Python refuses to write very large numbers in decimal; it would take it minutes."""
    text = str(value) if value.bit_length() <= _DECIMAL_BITS else hex(value)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"
