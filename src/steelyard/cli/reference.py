"""The reference page of the command line, made from the commands themselves."""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard.app.config.fields import flag_fields
from steelyard.app.config.flag import GROUP_ORDER
from steelyard.app.config.reference import NOTICE, code, table
from steelyard.app.config.unsupported import UNSUPPORTED
from steelyard.cli.commands import COMMANDS, help_page
from steelyard.cli.flags import help_text, shown_default

if TYPE_CHECKING:
    from cyclopts import App


def cli_page() -> str:
    """Return docs/reference/cli.md."""
    lines = [NOTICE, "# Command line", "", "```text", help_page() + "```", ""]
    for command in COMMANDS:
        module, _, name = command.target.partition(":")
        lines += _command(getattr(import_module(module), name), f"steelyard {command.name}", 2)
    lines += ["## Flags of AIPerf that are refused", "", _REFUSED, ""]
    lines += table(
        ("Flag", "Not supported yet"), ([code(f), why] for f, why in UNSUPPORTED.items())
    )
    return "\n".join(lines) + "\n"


_REFUSED = (
    "A command line written for AIPerf mostly runs as it is. These flags are known and refused by "
    "name, so that nothing is silently left out."
)


def _command(app: "App", title: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{title}`"
    yield ""
    yield str(app.help).strip()
    yield ""
    if app.default_command is not None:
        yield from _parameters(app)
    for name in _subcommands(app):
        yield from _command(app[name], f"{title} {name}", level + 1)


def _subcommands(app: "App") -> list[str]:
    return sorted(name for name in app if not name.startswith("-"))


def _parameters(app: "App") -> Iterator[str]:
    generated = {name for field in flag_fields() for name in field.names}
    arguments = list(app.assemble_argument_collection())
    # A flag or two of a plan's names, as `plugins --plugin-dir`, are still the command's own.
    takes_plans = generated <= {name for argument in arguments for name in argument.names}
    if not takes_plans:
        generated = set()
    # `*` is the group that a flag stands in, no argument itself.
    own = [
        argument
        for argument in arguments
        if not generated & set(argument.names) and tuple(argument.names) != ("*",)
    ]
    if own:
        yield from table(("Argument", "Meaning"), (_row(argument) for argument in own))
        yield ""
    if not generated:
        return
    if app.name[0] != "profile":
        yield "It takes the flags of `steelyard profile` that describe a run."
        yield ""
        return
    for group in GROUP_ORDER:
        fields = [field for field in flag_fields() if field.group == group]
        if fields:
            rows = ([", ".join(code(n) for n in f.names), help_text(f)] for f in fields)
            yield from (f"**{group}**", "", *table(("Flag", "Meaning"), rows), "")


def _row(argument: Any) -> list[str]:
    names = ", ".join(code(name) for name in argument.names if name.startswith("-"))
    if not names:
        names = code(argument.name.lstrip("-").upper())
    text = str(argument.parameter.help or "").strip()
    default = argument.field_info.default
    if isinstance(default, str | int | float) and default not in ("", False):
        text = f"{text} [default: {shown_default(default)}]"
    return [names, text]
