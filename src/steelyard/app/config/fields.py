"""The fields of the model as a flat list: what CLI, environment and docs are made of."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from steelyard.app.config.flag import Flag, Groups, attribute_name, env_name
from steelyard.app.config.load import LoadConfig
from steelyard.app.config.model import BenchmarkConfig

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One leaf of the configuration.

    Attributes:
        path: where it lies in the model and in YAML.
        names: its flags; empty for a field that only YAML can set.
        group: its heading in `--help`.
        attribute: its name as a keyword, such as `request_count`; empty without flags.
        env: its environment variable; empty without flags.
        metavar: stands for its value in `--help`, such as `INT`; empty for an on-off flag.
        shape: `bool`, `many` (repeats and takes several words) or `one`.
        choices: the values it may have, when they are few and fixed.
        required: it has no default.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    group: str
    attribute: str
    env: str
    description: str
    unit: str
    metavar: str
    shape: str
    choices: tuple[str, ...]
    default: Any
    required: bool = False

    @property
    def dotted(self) -> str:
        """The path as people write it: `load.request_count`."""
        return ".".join(self.path)


def _section_of(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _bare(kind: Any) -> Any:
    """Return the type within `T | None`."""
    if get_origin(kind) in {Union, types.UnionType}:
        inner = [arg for arg in get_args(kind) if arg is not type(None)]
        return inner[0] if len(inner) == 1 else kind
    return kind


def _literals(kind: Any) -> tuple[str, ...]:
    bare = _bare(kind)
    if get_origin(bare) is tuple:
        bare = get_args(bare)[0]
    return tuple(str(value) for value in get_args(bare)) if get_origin(bare) is Literal else ()


def _shape(kind: Any) -> str:
    bare = _bare(kind)
    if bare is bool:
        return "bool"
    return "many" if bare is dict or get_origin(bare) in {tuple, list, dict} else "one"


def _metavar(kind: Any) -> str:
    bare = _bare(kind)
    if _literals(bare):
        return "CHOICE"
    return {int: "INT", float: "FLOAT", bool: ""}.get(_unmarked(bare), "STR")


def _unmarked(kind: Any) -> Any:
    """Return the type within `Annotated[T, ...]`."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _leaf(path: tuple[str, ...], info: FieldInfo, *, warmup: bool) -> FieldSpec:
    flag = next((item for item in info.metadata if isinstance(item, Flag)), None)
    names = () if flag is None else flag.warmup if warmup else flag.names
    first = names[0] if names else ""
    return FieldSpec(
        path=path,
        names=names,
        group=Groups.WARMUP if warmup else flag.group if flag else "",
        attribute=attribute_name(first),
        env=(flag.env if flag else "") or (env_name(first) if first else ""),
        description=info.description or "",
        unit=flag.unit if flag else "",
        metavar=(flag.metavar if flag else "") or _metavar(info.annotation),
        shape=_shape(info.annotation),
        choices=_literals(info.annotation),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        required=info.is_required(),
    )


def walk(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[FieldSpec]:
    """Yield the leaves of `model` in the order of its source."""
    for name, info in model.model_fields.items():
        path = (*prefix, name)
        section = _section_of(info)
        if section is None:
            yield _leaf(path, info, warmup=prefix == ("warmup",))
        else:
            yield from walk(section, path)


@cache
def all_fields() -> tuple[FieldSpec, ...]:
    """Return every leaf of `BenchmarkConfig`."""
    return tuple(walk(BenchmarkConfig))


@cache
def flag_fields() -> tuple[FieldSpec, ...]:
    """Return the leaves that have flags."""
    return tuple(field for field in all_fields() if field.names)


@cache
def fields_by_path() -> dict[tuple[str, ...], FieldSpec]:
    """Return the leaves by their path."""
    return {field.path: field for field in all_fields()}


@cache
def keyword_fields() -> dict[str, FieldSpec]:
    """Return the leaves by every keyword that may name them: flags' spellings and dotted paths."""
    found = {field.dotted: field for field in all_fields()}
    for field in flag_fields():
        for name in field.names:
            if name.startswith("--"):
                found[attribute_name(name)] = field
    return found


@cache
def env_fields() -> dict[str, FieldSpec]:
    """Return the leaves by the environment variables that set them."""
    return {field.env: field for field in flag_fields()}


def phase_keys() -> frozenset[str]:
    """Return the names of the fields that `load`, `warmup` and a phase share."""
    return frozenset(LoadConfig.model_fields)
