"""The reference pages of configuration, environment and plugins, made from the model itself."""

import json
from collections.abc import Iterable
from typing import Any

from steelyard.app.config.endpoint import API_KEY_ENV
from steelyard.app.config.fields import FieldSpec, all_fields, flag_fields, walk
from steelyard.app.config.load import PhaseConfig
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.output import PluginUse
from steelyard.app.config.template import STARTER
from steelyard.plugins.spec import PluginSpec

NOTICE = "<!-- Made by tools/generate_docs.py; `make docs` writes it again. -->\n"

OTHER_VARIABLES = (
    (API_KEY_ENV, "The API key of the server under test, as `--api-key`; never written anywhere."),
    ("NO_COLOR", "No colours, whatever the terminal can do."),
)
TRACK_VARIABLES = (
    ("STEELYARD_TRACK_DIR", "Directory of the runs; `.steelyard` without it."),
    ("STEELYARD_TRACK_BACKENDS", "Backends of scripts that name none, separated by commas."),
    (
        "STEELYARD_TRACK_COLLECTORS",
        "Collectors of scripts that name none, separated by commas; `default` is the usual ones.",
    ),
    ("STEELYARD_TRACK_MIRRORS", "`thread` keeps mirrors in the script's own process."),
)


def cell(text: str) -> str:
    """Return text that can stand in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    titles = list(head)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines.extend("| " + " | ".join(cell(text) for text in row) + " |" for row in rows)
    return lines


def code(text: str) -> str:
    """Return `text` as code, nothing for nothing."""
    return f"`{text}`" if text else ""


def default_of(field: FieldSpec) -> str:
    """Return a field's default as YAML would write it."""
    if field.required:
        return "required"
    if field.default is None:
        return ""
    return code(json.dumps(field.default, default=str))


def value_of(field: FieldSpec) -> str:
    """Return what a field takes: its choices, or its shape and unit."""
    if field.choices:
        return ", ".join(code(choice) for choice in field.choices)
    shapes = {"bool": "true or false", "many": "list", "one": ""}
    shape = "mapping" if isinstance(field.default, dict) else shapes[field.shape]
    return ", ".join(part for part in (shape, field.unit) if part)


def _field_rows(fields: Iterable[FieldSpec]) -> list[list[str]]:
    return [
        [
            code(field.path[-1]),
            value_of(field),
            default_of(field),
            ", ".join(code(name) for name in field.names),
            field.description,
        ]
        for field in fields
    ]


_HEAD = ("Key", "Takes", "Default", "Flags", "Meaning")


def config_page() -> str:
    """Return docs/reference/config.md."""
    lines = [NOTICE, "# Configuration files", "", _CONFIG_INTRO, "```yaml", STARTER + "```", ""]
    top = [field for field in all_fields() if len(field.path) == 1]
    lines += ["## Top level", "", *table(_HEAD, _field_rows(top)), ""]
    for section in BenchmarkConfig.model_fields:
        fields = [f for f in all_fields() if f.path[0] == section and len(f.path) > 1]
        if fields:
            text = BenchmarkConfig.model_fields[section].description or ""
            lines += [f"## `{section}`", "", text, "", *table(_HEAD, _field_rows(fields)), ""]
    lines += ["## A phase of `phases`", "", *table(_HEAD, _field_rows(walk(PhaseConfig))), ""]
    uses = table(_HEAD, _field_rows(walk(PluginUse)))
    lines += ["## An entry of `plugins.phase_hooks` and `plugins.post_processors`", "", *uses]
    return "\n".join(lines) + "\n"


_CONFIG_INTRO = """\
`steelyard --config FILE` and `steelyard profile --config FILE` run the plan in a YAML file. A flag
wins over an environment variable, that over the file, and the file over the default. All mistakes
are told at once, each with file, line and column. `${NAME}` and `${NAME:-default}` are filled from
the environment; below `headers` and `track` that happens only when a request is made or a tracker
opened, so that no secret is in a plan. A file is at most 1 MiB, 32 levels deep, and 20,000 nodes
after its aliases.

`steelyard config init` writes this file:
"""


_ENVIRONMENT_INTRO = """\
A variable wins over the configuration file, and a flag over the variable. A name that is nearly one
of these is refused with a suggestion."""

_PLUGINS_INTRO = """\
`steelyard plugins` lists these and what else is installed; `steelyard plugins show NAME` tells all
about one."""


def environment_page() -> str:
    """Return docs/reference/environment.md."""
    rows = [
        [code(field.env), code(field.dotted), code(field.names[0]), field.description]
        for field in flag_fields()
    ]
    others = [[code(name), text] for name, text in OTHER_VARIABLES]
    return "\n".join(
        [
            NOTICE,
            "# Environment variables",
            "",
            _ENVIRONMENT_INTRO,
            "",
            *table(("Variable", "Key", "Flag", "Meaning"), rows),
            "",
            "## Others",
            "",
            *table(("Variable", "Meaning"), others),
            "",
            "## Tracking",
            "",
            "Read by scripts that `steelyard.track` tracks; see [Tracking runs](../track.md).",
            "",
            *table(("Variable", "Meaning"), [[code(n), text] for n, text in TRACK_VARIABLES]),
            "",
        ]
    )


def plugins_page(specs: Iterable[PluginSpec]) -> str:
    """Return docs/reference/plugins.md for the batteries among `specs`."""
    lines = [
        NOTICE,
        "# Plugins that come with Steelyard",
        "",
        _PLUGINS_INTRO,
        "",
    ]
    by_kind: dict[str, list[PluginSpec]] = {}
    for spec in specs:
        if spec.origin == "builtin":
            by_kind.setdefault(spec.kind, []).append(spec)
    for kind, members in by_kind.items():
        rows = [[code(s.name), s.description, _needs(s), _facts(s.metadata)] for s in members]
        head = ("Name", "What it does", "Needs", "Facts")
        lines += [f"## {kind}", "", *table(head, rows), ""]
    return "\n".join(lines)


def _needs(spec: PluginSpec) -> str:
    return ", ".join(code(requirement) for requirement in spec.requires)


def _facts(metadata: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())
