"""Makes the parameters of a command from the configuration's fields: a flat list, no validation."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, TypeVar

from cyclopts import Group, Parameter

from steelyard.app.config.fields import FieldSpec, flag_fields
from steelyard.app.config.flag import GROUP_ORDER

OWN_GROUP = "Command"

Command = TypeVar("Command", bound=Callable[..., int])


@cache
def help_group(name: str) -> Group:
    """Return the heading `name`, sorted as the groups are declared."""
    order = -1 if name == OWN_GROUP else GROUP_ORDER.index(name)
    return Group(name, sort_key=order)


_TYPES: dict[str, Any] = {"bool": bool | None, "many": list[str] | None, "one": str | None}


def help_text(field: FieldSpec) -> str:
    """Return a field's description with its unit, choices, default and variable."""
    notes = [f"in {field.unit}"] if field.unit else []
    if field.choices:
        notes.append("one of " + ", ".join(field.choices))
    if field.default not in (None, (), {}, "", False):
        notes.append(f"default: {shown_default(field.default)}")
    text = field.description
    return f"{text} [{'; '.join(notes)}]" if notes else text


def shown_default(value: Any) -> str:
    """Return a default as a person would type it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parameter(field: FieldSpec) -> inspect.Parameter:
    first = next(name for name in field.names if name.startswith("--"))
    binding = Parameter(
        name=field.names,
        group=help_group(field.group),
        help=help_text(field),
        metavar=field.metavar + "..." * (field.shape == "many"),
        consume_multiple=field.shape == "many",
        # As in other tools, the last word counts: what a script adds overrides what it had.
        allow_repeating=None if field.shape == "many" else True,
        negative=f"--no-{first[2:]}" if field.shape == "bool" else (),
        show_default=False,
        show_env_var=False,
    )
    return inspect.Parameter(
        field.attribute,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_TYPES[field.shape], binding],
    )


def own(
    name: str, kind: Any, default: Any, names: Sequence[str], text: str, metavar: str | None = None
) -> inspect.Parameter:
    """Return a parameter of the command itself, which fills no field of the configuration."""
    binding = Parameter(
        name=tuple(names),
        group=help_group(OWN_GROUP),
        help=text,
        metavar=metavar,
        negative=(),
        allow_repeating=True,
        show_default=False,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, binding]
    )


def with_config_flags(
    *parameters: inspect.Parameter, **positional: Any
) -> Callable[[Command], Command]:
    """Give a function one parameter for each flag of the configuration, after its own.

    Args:
        parameters: keyword parameters of the command itself, made by `own`.
        positional: types of the words that come before all flags, by name.
    """
    first = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, annotation=kind)
        for name, kind in positional.items()
    ]

    def decorate(function: Command) -> Command:
        fields = [_parameter(field) for field in flag_fields()]
        signature = inspect.Signature([*first, *parameters, *fields])
        vars(function)["__signature__"] = signature  # where inspect.signature looks first
        return function

    return decorate
