"""Reads what people type into plain data: lists, pairs, durations. Raises only ValueError."""

import json
import math
from collections.abc import Mapping
from typing import Any

from steelyard.kernel.units import parse_duration_s

LONGEST_GRACE_S = 86_400.0
"""What `inf` means where a bound is needed: a day."""


def split_list(value: Any) -> Any:
    """Return the comma-separated parts of a string, or of each string of a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return [part for item in value for part in (split_list(item) if _is_text(item) else [item])]
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def split_paths(value: Any) -> Any:
    """Return the colon-separated parts of a string, or of each string of a list."""
    if isinstance(value, str):
        return [part for part in value.split(":") if part]
    if isinstance(value, list | tuple):
        return [part for item in value for part in split_paths(str(item))]
    return value


def parse_headers(value: Any) -> Any:
    """Return a mapping from `Name: value` strings, a JSON object or a mapping."""
    return _pairs(value, "Name:value", keep_text=True)


def parse_extra_inputs(value: Any) -> Any:
    """Return a mapping from `key:value` strings (values read as JSON where they are), or JSON.

    `key=value` is understood too: the first of the two signs parts a word.
    """
    return _pairs(value, "key:value", keep_text=False, signs=":=")


def parse_tags(value: Any) -> Any:
    """Return a mapping from `key:value` or `key=value` words, a JSON object or a mapping."""
    return _pairs(value, "key:value", keep_text=True, signs=":=")


def parse_goodput(value: Any) -> Any:
    """Return a mapping from `metric:number` words, separated by spaces."""
    if isinstance(value, str):
        value = value.split()
    elif isinstance(value, list | tuple):
        value = [word for item in value for word in str(item).split()]
    return _pairs(value, "metric:number", keep_text=True)


def _pairs(value: Any, form: str, *, keep_text: bool, signs: str = ":") -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise ValueError(f"a mapping, or {form} words")  # noqa: TRY004  for pydantic
    result: dict[str, Any] = {}
    for word in words:
        text = str(word).strip()
        if text.startswith("{"):
            result.update(_json_object(text))
            continue
        key, sign, rest = text.partition(_first_of(signs, text))
        if not sign or not key.strip():
            raise ValueError(f"{form} (the word {text!r} is not of that form)")
        rest = rest.strip()
        result[key.strip()] = rest if keep_text else _json_or_text(rest)
    return result


def _first_of(signs: str, text: str) -> str:
    return next((letter for letter in text if letter in signs), signs[0])


def _json_object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"a JSON object ({error.msg} at character {error.pos})") from None
    if not isinstance(parsed, dict):
        raise ValueError("a JSON object")  # noqa: TRY004  pydantic turns ValueError into a field error
    return parsed


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> float:
    raise ValueError(f"finite numbers ({name} is none)")


def duration(value: Any) -> Any:
    """Return seconds from a number, or from a number with ns, us, ms, s, m or h."""
    if not isinstance(value, str):
        return value
    try:
        return parse_duration_s(value)
    except ValueError:
        raise ValueError("seconds, or a number with ns, us, ms, s, m or h") from None


def grace(value: Any) -> Any:
    """Return seconds like `duration`; `inf` is a day, since every wait is bounded."""
    if value in ("inf", "infinity") or (isinstance(value, float) and value == math.inf):
        return LONGEST_GRACE_S
    return duration(value)


def lower(value: Any) -> Any:
    """Return a string in lower case."""
    return value.lower() if isinstance(value, str) else value


def upper(value: Any) -> Any:
    """Return a string, or each string of a list, in upper case."""
    if isinstance(value, list | tuple):
        return [upper(item) for item in value]
    return value.upper() if isinstance(value, str) else value
