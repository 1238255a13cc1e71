"""`steelyard plugins`: list, explain, examine and create plugins."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from steelyard.kernel.errors import EXIT_OK, EXIT_PLUGIN

app = App(name="plugins", help="List, explain and create plugins.", help_format="plaintext")

WIDTH_TABLE_MIN = 100
WIDTH_PIPE = 160

KindFlag = Annotated[str | None, Parameter(name="--kind", help="Only this kind, such as endpoint.")]
DirsFlag = Annotated[
    tuple[str, ...],
    Parameter(
        name="--plugin-dir",
        negative="",
        show_default=False,
        help="Also search this directory; may be repeated.",
    ),
]
JsonFlag = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]


def _directories(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the directories in the words of `--plugin-dir`; colons separate several."""
    return tuple(part for word in given for part in word.split(os.pathsep) if part)


@app.default
def list_plugins(
    *, kind: KindFlag = None, plugin_dir: DirsFlag = (), as_json: JsonFlag = False
) -> None:
    """List every plugin: kind, name, origin, state, what to know of it, and what to install.

    Nothing is imported for this: a plugin is only tried by `steelyard plugins doctor`.
    """
    from steelyard.app.composition import standard_host
    from steelyard.app.plugin_report import list_rows

    _print_rows(list_rows(standard_host(_directories(plugin_dir)), kind), as_json=as_json)


@app.command
def show(
    name: str,
    /,
    *,
    kind: KindFlag = None,
    plugin_dir: DirsFlag = (),
    as_json: JsonFlag = False,
) -> None:
    """Show all that is known of the plugin NAME: class, options, methods, facts of its kind."""
    from steelyard.app.composition import standard_host
    from steelyard.app.plugin_report import describe

    found = describe(standard_host(_directories(plugin_dir)), name, kind)
    if as_json:
        print(json.dumps(found, indent=2, default=str))
        return
    for number, facts in enumerate(found):
        if number:
            print()
        _print_facts(facts)


@app.command
def doctor(
    *,
    timeout: Annotated[float, Parameter(help="Seconds a stranger's import may take.")] = 10.0,
    plugin_dir: DirsFlag = (),
    as_json: JsonFlag = False,
) -> int:
    """Try every plugin, each stranger's in a process of its own; exit 3 when one is broken."""
    from steelyard.app.composition import standard_host
    from steelyard.app.plugin_report import examine

    rows = examine(standard_host(_directories(plugin_dir)), timeout_s=timeout)
    _print_rows(rows, as_json=as_json)
    broken = [row for row in rows if row.broken]
    if not as_json:
        lacking = sum(row.state == "missing requirement" for row in rows)
        fine = len(rows) - len(broken) - lacking
        print(f"\n{fine} fine, {lacking} lacking a requirement, {len(broken)} broken")
        for row in broken:
            print(f"broken: {row.kind} '{row.name}' ({row.origin}): {row.why}")
    return EXIT_PLUGIN if broken else EXIT_OK


@app.command
def new(
    kind: str,
    name: str,
    /,
    *,
    directory: Annotated[Path | None, Parameter(help="Where the package goes; default: .")] = None,
    style: Annotated[str, Parameter(help="core, distributed_testing or tracelet.")] = "core",
) -> None:
    """Write an installable package with one plugin of KIND called NAME, and tests that pass."""
    from steelyard.app.scaffold.writer import write_package

    made = write_package(kind, name, directory or Path.cwd(), style=style)
    print(f"Wrote {made.root}")
    for file in made.files:
        print(f"  {file}")
    print("\nNext:")
    for step in made.next_steps:
        print(f"  {step}")


def _print_rows(rows: list[Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(msgspec.to_builtins(rows), indent=2))
        return
    from rich.console import Console

    knows_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if knows_width else WIDTH_PIPE, highlight=False)
    with console.capture() as written:
        if console.width >= WIDTH_TABLE_MIN:
            console.print(_table(rows))
        else:
            for row in rows:
                _print_narrow(console, row)
    # Cells are padded; a line that is piped or copied should not be.
    print("\n".join(line.rstrip() for line in written.get().splitlines()))


_COLOURS = {
    "failed": "red",
    "missing requirement": "yellow",
    "disabled": "dim",
    "quarantined": "red",
    "validated": "green",
}


def _table(rows: list[Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("KIND", "NAME", "ORIGIN", "STATE"):
        table.add_column(heading, overflow="fold")
    has_reasons = any(row.why or row.notes for row in rows)
    has_installs = any(row.install for row in rows)
    if has_reasons:
        table.add_column("NOTE", overflow="fold")
    if has_installs:
        table.add_column("INSTALL", overflow="fold")
    for row in rows:
        cells = [row.kind, row.name, row.origin, row.state]
        if has_reasons:
            cells.append("; ".join(filter(None, [row.why, *row.notes])))
        if has_installs:
            cells.append(row.install)
        texts = [Text(cell) for cell in cells]
        texts[3].stylize(_COLOURS.get(row.state, ""))
        table.add_row(*texts)
    return table


def _print_narrow(console: Any, row: Any) -> None:
    from rich.text import Text

    line = Text(f"{row.kind} {row.name}: ")
    line.append(row.state, _COLOURS.get(row.state, ""))
    console.print(line)
    if row.origin != "builtin":
        console.print(Text(f"  from {row.origin}"))
    for text in (row.why, *row.notes, row.install):
        if text:
            console.print(Text(f"  {text}"))


def _print_facts(facts: dict[str, Any]) -> None:
    print(f"{facts['kind']} {facts['name']}: {facts['description'] or 'no description'}")
    lines = {
        "state": facts["state"] + (" (not tried yet)" if facts["state"] == "discovered" else ""),
        "why": facts["why"],
        "install": facts["install"],
        "class": facts["target"],
        "version": facts["version"],
        "origin": facts["origin"],
        "style": facts["authoring_style"],
        "priority": facts["priority"],
        "requires": ", ".join(facts["requires"]),
        "starts after": ", ".join(facts["plugins"]),
        "port": facts["port"],
        "methods": ", ".join(facts["methods"]),
    }
    for key, value in lines.items():
        if value != "":
            print(f"  {key}: {value}")
    if facts["state"] == "discovered" and facts["origin"] != "builtin":
        print("  to try it: steelyard plugins doctor")
    for title in ("metadata", "config_schema"):
        if facts[title]:
            print(f"  {title}:")
            for key, value in facts[title].items():
                print(f"    {key}: {value}")
