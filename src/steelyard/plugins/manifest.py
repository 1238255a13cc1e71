"""Reads a manifest (`registry.yaml`, already parsed) into plugin specs, and says what is wrong.

One wrong entry costs that entry only: the others of its manifest stay usable.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.kernel.errors import did_you_mean
from steelyard.plugins.spec import API_VERSION, KINDS, PluginSpec

_ALIASES = {
    "gpu_telemetry_collector": "telemetry_collector",
    "telemetry": "telemetry_collector",
    "data_exporter": "exporter",
    "console_exporter": "console",
    "custom_dataset_loader": "dataset",
    "public_dataset_loader": "dataset",
    "dataset_composer": "dataset",
    "dataset_loader": "dataset",
    "arrival_pattern": "arrival",
    "ramper": "ramp",
    "timing_strategy": "timing",
    "phase_lifecycle_hook": "phase_hook",
    "results_processor": "post_processor",
    "record_processor": "post_processor",
    "processor": "post_processor",
    "metrics_accumulator": "accumulator",
    "accuracy_grader": "grader",
    "convergence_criterion": "convergence",
    "convergence_criteria": "convergence",
    "executor": "task_executor",
    "ci": "ci_provider",
}
_HEADER = "plugin"
_NOT_SECTIONS = frozenset({_HEADER, "schema_version", "$schema"})
_HEADER_KEYS = frozenset({
    "name", "version", "description", "enabled", "author", "api_version", "authoring_style",
})  # fmt: skip
_TARGET = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")
_DOTTED = re.compile(r"^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w*)$")
_STYLES = ("core", "aiperf", "distributed_testing", "tracelet")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something declared that can't be used: who, from where, and why not."""

    kind: str
    name: str
    origin: str
    message: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest as read: its header, its right specs, and the problems of its wrong ones."""

    name: str
    version: str = "0"
    description: str = ""
    enabled: bool = True
    specs: tuple[PluginSpec, ...] = ()
    problems: tuple[Problem, ...] = ()


def kind_of(section: str) -> str:
    """Return the kind that a section or category name means; `custom` for one we don't know.

    Singular, plural and the spellings of other tools are understood: `endpoints`, `phase-hook`,
    `gpu_telemetry_collector`.
    """
    word = section.strip().lower().replace("-", "_").replace(" ", "_")
    for candidate in (word, word.removesuffix("s"), re.sub(r"ies$", "y", word)):
        if candidate in KINDS:
            return candidate
        if candidate in _ALIASES:
            return _ALIASES[candidate]
    return "custom"


def normal_target(text: str) -> str | None:
    """Return `text` as `package.module:Class`, or None when it can't name a class.

    The dotted form `package.module.Class` is accepted too.
    """
    if _TARGET.match(text):
        return text
    dotted = _DOTTED.match(text)
    return f"{dotted[1]}:{dotted[2]}" if dotted else None


class _Fields:
    """Takes typed fields out of one mapping, collecting a message per wrong one."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data = data
        self._where = where
        self.wrong: list[str] = []

    def blame(self, key: str, text: str) -> None:
        self.wrong.append(f"{self._where}.{key}: {text}")

    def unknown_keys(self, known: frozenset[str]) -> None:
        for key in self._data:
            if key not in known:
                hint = did_you_mean(str(key), known) or "Known: " + ", ".join(sorted(known)) + "."
                self.blame(str(key), f"unknown key. {hint}")

    def take(self, key: str, kinds: type | tuple[type, ...], expected: str, default: Any) -> Any:
        value = self._data.get(key)
        if value is None:
            return default
        is_odd_bool = isinstance(value, bool) and kinds is not bool
        if is_odd_bool or not isinstance(value, kinds):
            self.blame(key, f"got {value!r}; expected {expected}")
            return default
        return value

    def text(self, key: str, default: str = "") -> str:
        return str(self.take(key, (str, int, float), "text", default))

    def names(self, key: str) -> tuple[str, ...]:
        value = self.take(key, (str, list, tuple), "a list of texts", ())
        items = (value,) if isinstance(value, str) else tuple(value)
        for item in items:
            if not isinstance(item, str):
                self.blame(key, f"got {item!r}; expected a list of texts")
                return ()
        return items


_ENTRY_KEYS = frozenset({
    "class", "description", "priority", "metadata", "requires", "plugins", "config_schema",
    "capabilities", "api_version", "version", "enabled", "authoring_style",
})  # fmt: skip


def parse_entry(
    section: str,
    name: str,
    entry: Any,
    *,
    where: str,
    origin: str,
    defaults: Mapping[str, Any],
) -> PluginSpec | Problem:
    """Return the spec of one entry, or the problem that says all that is wrong with it.

    Args:
        section: the category as the author wrote it.
        name: the plugin's name.
        entry: the mapping under that name, or just the class as text.
        where: file, section and name, put in front of each message.
        origin: see `PluginSpec.origin`.
        defaults: spec fields that the entry may override (`version`, `enabled`, `location`, ...).
    """
    kind = kind_of(section)
    if isinstance(entry, str):
        entry = {"class": entry}
    if not isinstance(entry, Mapping):
        message = f"{where}: got {entry!r}; expected a mapping with the key 'class'"
        return Problem(kind=kind, name=name, origin=origin, message=message)
    fields = _Fields(entry, where)
    fields.unknown_keys(_ENTRY_KEYS)
    target = normal_target(fields.text("class"))
    if target is None:
        got = repr(entry["class"]) if entry.get("class") else "nothing"
        fields.blame("class", f"got {got}; expected 'package.module:Class'")
    metadata = dict(fields.take("metadata", dict, "a mapping", {}))
    if kind == "custom" and section.strip().lower() not in ("custom", "customs"):
        metadata.setdefault("declared_kind", section)
    api_version = fields.take("api_version", int, "a whole number", defaults.get("api_version", 1))
    if api_version > API_VERSION:
        fields.blame(
            "api_version", f"got {api_version}; this Steelyard speaks {API_VERSION}: upgrade it"
        )
    style = fields.text("authoring_style", defaults.get("authoring_style", "core"))
    if style not in _STYLES:
        fields.blame("authoring_style", f"got {style!r}; expected one of {', '.join(_STYLES)}")
    spec = PluginSpec(
        kind=kind,
        name=name,
        target=target or "",
        version=fields.text("version", defaults.get("version", "0")),
        api_version=api_version,
        origin=origin,
        description=fields.text("description"),
        priority=fields.take("priority", int, "a whole number", 100),
        requires=fields.names("requires"),
        plugins=fields.names("plugins"),
        config_schema=fields.take("config_schema", dict, "a mapping", None),
        capabilities=frozenset(fields.names("capabilities")),
        metadata=metadata,
        authoring_style=style,
        enabled=fields.take("enabled", bool, "true or false", defaults.get("enabled", True)),
        location=defaults.get("location", ""),
    )
    if fields.wrong:
        message = "; ".join(fields.wrong)
        return Problem(kind=kind, name=name, origin=origin, message=message)
    return spec


def _broken(file: str, origin: str, message: str, name: str = "") -> Manifest:
    problem = Problem(kind="manifest", name=name or file, origin=origin, message=message)
    return Manifest(name=name or file, problems=(problem,))


def parse_manifest(
    data: Any,
    *,
    file: str,
    origin: str,
    location: str = "",
    authoring_style: str = "core",
) -> Manifest:
    """Return what a manifest declares.

    Args:
        data: the parsed YAML: a `plugin` header, then section -> name -> entry.
        file: its path, put into every message.
        origin: see `PluginSpec.origin`.
        location: see `PluginSpec.location`.
        authoring_style: the style of entries that name none.
    """
    if not isinstance(data, Mapping):
        return _broken(file, origin, f"{file}: got {data!r}; expected a mapping of sections")
    header = data.get(_HEADER)
    if not isinstance(header, Mapping):
        expected = "expected a mapping with name, version, description and enabled"
        return _broken(file, origin, f"{file}: {_HEADER}: got {header!r}; {expected}")
    fields = _Fields(header, f"{file}: {_HEADER}")
    fields.unknown_keys(_HEADER_KEYS)
    name = fields.text("name")
    if not name:
        fields.blame("name", "is missing; expected the package's name")
    defaults = {
        "version": fields.text("version", "0"),
        "enabled": fields.take("enabled", bool, "true or false", True),
        "api_version": fields.take("api_version", int, "a whole number", 1),
        "authoring_style": fields.text("authoring_style", authoring_style),
        "location": location,
    }
    description = fields.text("description")
    if fields.wrong:
        return _broken(file, origin, "; ".join(fields.wrong), name)
    specs: list[PluginSpec] = []
    problems: list[Problem] = []
    for section, entries in data.items():
        if section in _NOT_SECTIONS or entries is None:
            continue
        if not isinstance(entries, Mapping):
            message = f"{file}: {section}: got {entries!r}; expected a mapping of names"
            kind = kind_of(str(section))
            problems.append(Problem(kind=kind, name="?", origin=origin, message=message))
            continue
        for plugin, entry in entries.items():
            where = f"{file}: {section}.{plugin}"
            read = parse_entry(
                str(section), str(plugin), entry, where=where, origin=origin, defaults=defaults
            )
            (specs if isinstance(read, PluginSpec) else problems).append(read)  # type: ignore[arg-type]
    return Manifest(
        name=name,
        version=defaults["version"],
        description=description,
        enabled=defaults["enabled"],
        specs=tuple(specs),
        problems=tuple(problems),
    )
