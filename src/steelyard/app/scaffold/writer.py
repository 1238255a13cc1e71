"""Writes an installable plugin package that works and whose tests pass."""

import re
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from steelyard import __version__
from steelyard.kernel.errors import PluginError, UsageError, did_you_mean
from steelyard.plugins.kinds import STYLES
from steelyard.plugins.manifest import kind_of
from steelyard.plugins.spec import KINDS

_HERE = Path(__file__).resolve().parent / "templates"
_NAME = re.compile(r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$")
_STYLED_KINDS = {
    "distributed_testing": (
        "scheduler", "task_executor", "reporter", "notification", "monitoring", "integration",
        "security", "custom",
    ),
    "tracelet": ("backend", "collector"),
}  # fmt: skip


class Written(msgspec.Struct, frozen=True):
    """What was written, and what to do with it."""

    root: Path
    files: tuple[str, ...]
    next_steps: tuple[str, ...]


def template_for(kind: str, style: str = "core") -> str:
    """Return the template's name for a kind and style.

    Raises:
        UsageError: the style is unknown, or is not one in which this kind is written.
    """
    if style == "core":
        own = (_HERE / "plugins" / f"{kind}.py.jinja").is_file()
        return kind if own else "custom"
    kinds = _STYLED_KINDS.get(style)
    if kinds is None:
        raise UsageError(
            f"Unknown authoring style '{style}'",
            expected="core or one of " + ", ".join(STYLES),
            next_step=did_you_mean(style, ["core", *STYLES]) or None,
        )
    if kind not in kinds:
        raise UsageError(
            f"A {kind} can't be written in the style of {style}",
            expected="one of " + ", ".join(kinds),
            next_step="Leave --style out.",
        )
    exact = _HERE / "plugins" / f"{style}.{kind}.py.jinja"
    return f"{style}.{kind}" if exact.is_file() else style


def known_kind(kind: str) -> str:
    """Return the kind that `kind` spells.

    Raises:
        PluginError: none; the message lists them.
    """
    normal = kind_of(kind)
    if normal == "custom" and kind != "custom":
        raise PluginError(
            f"Unknown kind of plugin '{kind}'",
            expected="one of " + ", ".join(KINDS),
            next_step=did_you_mean(kind, KINDS) or None,
        )
    return normal


def write_package(kind: str, name: str, directory: Path, *, style: str = "core") -> Written:
    """Write the package `steelyard-NAME` below `directory`.

    Args:
        kind: of the plugin; kinds without a template of their own get the general one.
        name: of the plugin; lower case, words joined by `_` or `-`.
        directory: must exist or can be made.
        style: authoring style.

    Raises:
        PluginError: `kind` is unknown.
        UsageError: `name` or `style` can't be used, or the package is already there.
    """
    normal = known_kind(kind)
    if not _NAME.match(name):
        raise UsageError(
            "The plugin's name can't be used",
            got=name,
            expected="lower-case words joined by '_' or '-', such as hello or my-endpoint",
        )
    template = template_for(normal, style)
    plugin = name.replace("-", "_")
    package = f"steelyard_{plugin}"
    root = directory / f"steelyard-{name.replace('_', '-')}"
    if root.exists():
        raise UsageError(
            f"{root} is already there", next_step="Choose another name or --directory."
        )
    facts = {
        "kind": normal,
        "name": plugin,
        "dist": root.name,
        "package": package,
        "cls": "".join(part.capitalize() for part in plugin.split("_")) + _suffix(normal),
        "style": style,
        "template": template,
        "steelyard_version": __version__,
    }
    texts = {
        "pyproject.toml": "pyproject.toml.jinja",
        "README.md": "README.md.jinja",
        f"src/{package}/__init__.py": "init.py.jinja",
        f"src/{package}/registry.yaml": "registry.yaml.jinja",
        f"src/{package}/plugin.py": f"plugins/{template}.py.jinja",
        f"tests/test_{plugin}.py": f"tests/{template}.py.jinja",
    }
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701  Python and TOML, not HTML
    )
    for file, source in texts.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.get_template(source).render(facts), encoding="utf-8")
    steps = (
        f"pip install -e {root}",
        f"pytest {root}",
        f"steelyard plugins show {plugin}",
    )
    return Written(root, tuple(texts), steps)


def _suffix(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_")) if kind != "custom" else "Plugin"
