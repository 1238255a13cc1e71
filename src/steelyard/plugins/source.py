"""Finds plugin classes in Python source by reading it, never by running it.

Used for plugin files and for entry points that name a class: `steelyard plugins` must be able to
list a plugin that would hang on import. A class is a plugin when it says so by

- an attribute `plugin = {"kind": ..., "name": ..., ...}` with the keys of a manifest entry, or
- a base class of one of the dialects (`Plugin`, `BaseSchedulerPlugin`, `BackendPlugin`,
  `CollectorPlugin`, `PluginBase`, `BasePhaseLifecycleHook`); name, version and type are then taken
  from the constants in its source, where they are constants.
"""

import ast
from collections.abc import Iterator
from typing import Any

import msgspec

from steelyard.plugins.manifest import Problem, kind_of, parse_entry
from steelyard.plugins.spec import PluginSpec


class _Base(msgspec.Struct, frozen=True):
    style: str
    kind: str


_BASES = {
    "Plugin": _Base("distributed_testing", "custom"),
    "BaseSchedulerPlugin": _Base("distributed_testing", "scheduler"),
    "SchedulerPluginInterface": _Base("distributed_testing", "scheduler"),
    "PluginBase": _Base("tracelet", "custom"),
    "BackendPlugin": _Base("tracelet", "backend"),
    "CollectorPlugin": _Base("tracelet", "collector"),
    "BasePhaseLifecycleHook": _Base("aiperf", "phase_hook"),
}
_STYLED_FACTS = ("name", "version", "description", "plugin_type", "type")
_DECLARED: dict[str, type | tuple[type, ...]] = {
    "dependencies": (list, tuple, set),
    "config_schema": dict,
    "capabilities": (list, tuple, set),
}
_POSITIONS = ("name", "version", "plugin_type")
_SCHEDULER_POSITIONS = ("name", "version", "description")


class Scan(msgspec.Struct, frozen=True):
    """The plugins that a source declares, and what is wrong with those that can't be used."""

    specs: tuple[PluginSpec, ...] = ()
    problems: tuple[Problem, ...] = ()


def scan_source(text: str, *, module: str, file: str, origin: str, location: str = "") -> Scan:
    """Return the plugin classes at the top level of `text`.

    Args:
        text: Python source.
        module: what `target` names before the colon.
        file: put into messages.
        origin: see `PluginSpec.origin`.
        location: see `PluginSpec.location`.
    """
    try:
        tree = ast.parse(text, filename=file)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        message = f"{file}, line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}"
        return Scan(problems=(Problem(kind="custom", name=module, origin=origin, message=message),))
    styles = _local_styles(tree)
    specs: list[PluginSpec] = []
    problems: list[Problem] = []
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        found = _declared(node, module, file, origin, location) or _styled(
            node, styles, module, origin, location
        )
        if isinstance(found, PluginSpec):
            specs.append(found)
        elif found is not None:
            problems.append(found)
    return Scan(tuple(specs), tuple(problems))


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _local_styles(tree: ast.Module) -> dict[str, _Base]:
    """Return the dialect of each class name, following `import X as Y` and bases in this file."""
    styles = dict(_BASES)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname and alias.name in _BASES:
                    styles[alias.asname] = _BASES[alias.name]
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                if _last_name(base) in styles:
                    styles.setdefault(node.name, styles[_last_name(base)])
    return styles


def _declared(
    node: ast.ClassDef, module: str, file: str, origin: str, location: str
) -> PluginSpec | Problem | None:
    for statement in node.body:
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [statement.target]
            if isinstance(statement, ast.AnnAssign)
            else []
        )
        if not any(isinstance(t, ast.Name) and t.id == "plugin" for t in targets):
            continue
        where = f"{file}, line {statement.lineno}: {node.name}.plugin"
        value = getattr(statement, "value", None)
        facts = _literal(value) if value is not None else None
        if not isinstance(facts, dict) or "kind" not in facts:
            message = f"{where}: expected a dict of constants with 'kind' and 'name'"
            return Problem(kind="custom", name=node.name, origin=origin, message=message)
        section = str(facts.pop("kind"))
        name = str(facts.pop("name", node.name))
        entry = {"class": f"{module}:{node.name}", **facts}
        return parse_entry(
            section, name, entry, where=where, origin=origin, defaults={"location": location}
        )
    return None


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def _styled(
    node: ast.ClassDef, styles: dict[str, _Base], module: str, origin: str, location: str
) -> PluginSpec | None:
    bases = [styles[_last_name(b)] for b in node.bases if _last_name(b) in styles]
    if not bases or _is_abstract(node):
        return None
    base = bases[0]
    facts = _constants(node, _SCHEDULER_POSITIONS if base.kind == "scheduler" else _POSITIONS)
    declared = _declarations(node)
    stated = facts.get("plugin_type") or facts.get("type") or ""
    return PluginSpec(
        kind=kind_of(stated) if stated else base.kind,
        name=facts.get("name", node.name),
        target=f"{module}:{node.name}",
        version=facts.get("version", "0"),
        origin=origin,
        description=facts.get("description") or _first_line(node),
        requires=tuple(str(item) for item in declared.get("dependencies", ())),
        config_schema=declared.get("config_schema"),
        capabilities=frozenset(str(item) for item in declared.get("capabilities", ())),
        authoring_style=base.style,
        location=location,
    )


def _is_abstract(node: ast.ClassDef) -> bool:
    if any(_last_name(b) == "ABC" for b in node.bases):
        return True
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return any(_last_name(d) == "abstractmethod" for m in methods for d in m.decorator_list)


def _first_line(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _constants(node: ast.ClassDef, positions: tuple[str, ...]) -> dict[str, str]:
    """Return name, version and type as given to `super().__init__` or `PluginMetadata`."""
    facts: dict[str, str] = {}
    for call in _calls(node):
        given = list(zip(positions, call.args, strict=False))
        given += [(k.arg, k.value) for k in call.keywords if k.arg]
        for key, value in given:
            text = _text(value)
            if key in _STYLED_FACTS and text:
                facts.setdefault(key, text)
    return facts


def _declarations(node: ast.ClassDef) -> dict[str, Any]:
    """Return what `PluginMetadata` is given for the keys of `_DECLARED`, where it is constant."""
    found: dict[str, Any] = {}
    for call in _calls(node):
        for keyword in call.keywords:
            if keyword.arg in _DECLARED and _last_name(call.func) == "PluginMetadata":
                value = _literal(keyword.value)
                if isinstance(value, _DECLARED[keyword.arg]):
                    found.setdefault(keyword.arg, value)
    return found


def _calls(node: ast.ClassDef) -> Iterator[ast.Call]:
    for child in ast.walk(node):
        if not isinstance(child, ast.Call):
            continue
        if _last_name(child.func) in ("PluginMetadata", "__init__"):
            yield child


def _text(node: ast.expr) -> str:
    """Return a constant string, or the lowered member name of `PluginType.X`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Attribute) and _last_name(node.value) == "PluginType":
        return node.attr.lower()
    return ""
