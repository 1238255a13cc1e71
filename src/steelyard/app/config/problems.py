"""Says each mistake of a configuration on one line: where, what was got, what was expected."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from steelyard.app.config.fields import Path, fields_by_path
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.tree import Tree
from steelyard.kernel.errors import did_you_mean

_LONGEST_GOT = 80

_EXPECTED: Mapping[str, str] = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_long": "at most {max_length} items",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores (64 at most)",
}


def shown(path: Path) -> str:
    """Return a path as people write it: `phases[0].concurrency`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def line_for(tree: Tree, path: Path, message: str, *, key: bool = False) -> str:
    """Return `where: field: message`; a flag or variable is named instead of both."""
    origin = tree.origin_of_key(path) if key else tree.origin(path)
    where = origin if origin and ":" not in origin else ""
    if where and where.startswith(("--", "STEELYARD_")):
        return f"{where}: {message}"
    return ": ".join(part for part in (origin, shown(path), message) if part)


def explain(error: ValidationError, tree: Tree) -> list[tuple[Path, str]]:
    """Return the path and the line of each mistake that pydantic found in the tree."""
    found: dict[Path, str] = {}
    for detail in error.errors(include_url=False):
        path = _data_path(detail["loc"], tree)
        if path not in found:
            found[path] = _line(detail, path, tree)
    return list(found.items())


def _data_path(loc: Iterable[str | int], tree: Tree) -> Path:
    """Return the part of pydantic's location that exists in the data (`[key]` marks are not)."""
    path: list[str | int] = [part for part in loc if part != "[key]"]
    while len(path) > 1 and tree.get(tuple(path[:-1])) is None:
        path.pop()
    return tuple(path)


def _line(detail: ErrorDetails, path: Path, tree: Tree) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return line_for(tree, path, _unknown_key(path), key=True)
    if kind == "missing":
        return line_for(tree, path, "is required")
    return line_for(tree, path, f"got {_got(detail['input'])}; expected {_expected(detail)}")


def _expected(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context.get("error", detail["msg"]))
    template = _EXPECTED.get(detail["type"])
    if template is None:
        return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    text = template.format(**context)
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        choices = [word.strip("'") for word in text.replace(" or ", ", ").split(", ")]
        text = f"{text}. {did_you_mean(detail['input'], choices)}".rstrip(". ")
    if isinstance(detail["input"], str) and "," in detail["input"] and "number" in text:
        text += "; comma lists (sweeps) are not supported yet"
    return text


def _got(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_GOT else text[:_LONGEST_GOT] + "..."


def keys_at(path: Path) -> list[str]:
    """Return the keys that the section at `path` knows."""
    section: Any = BenchmarkConfig
    for part in path:
        if isinstance(part, int):
            continue
        section = _section_below(section, part)
        if section is None:
            return []
    return list(section.model_fields)


def _section_below(section: Any, key: str) -> Any:
    from typing import get_args

    from pydantic import BaseModel

    info = section.model_fields.get(key)
    if info is None:
        return None
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _unknown_key(path: Path) -> str:
    key = str(path[-1])
    known = keys_at(path[:-1])
    plain = key.lower().replace("-", "_")
    if hint := did_you_mean(plain, known):
        return f"unknown key. {hint}"
    for other in fields_by_path().values():
        if plain in {other.path[-1], *(name.lstrip("-").replace("-", "_") for name in other.names)}:
            return f"unknown key here. Did you mean '{other.dotted}'?"
    return f"unknown key. Known: {', '.join(known)}"
