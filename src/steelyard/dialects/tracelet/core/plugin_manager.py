"""Finds, loads and runs tracker plugins: the core's host and lifecycle, asked synchronously."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.dialects.tracelet.core.plugin_models import (
    PluginInfo,
    PluginMetadata,
    PluginState,
    PluginType,
    state_of,
    type_of,
)
from steelyard.kernel.errors import PluginError, SteelyardError, UsageError, did_you_mean
from steelyard.plugins import states as core
from steelyard.plugins.order import start_order
from steelyard.plugins.registry import Registry
from steelyard.plugins.requirements import missing_requirements
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.discovery import directory_scans, installed_version
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import Lifecycle, run_now

_log = logging.getLogger(__name__)

_STYLE = "tracelet"
_BARE_NAME = re.compile(r"^[A-Za-z_][\w.-]*$")
_KINDS = tuple(known.value for known in PluginType)


class PluginManager:
    """Manages tracker plugins by name.

    Args:
        plugin_paths: directories with plugin files.
        use_default_paths: also find installed packages, our own batteries and the directories in
            `STEELYARD_PLUGIN_DIRS`.

    What goes wrong with one plugin is logged and kept in its `PluginInfo.error`; the methods that
    return a bool then return False.
    """

    def __init__(
        self, plugin_paths: Iterable[str | Path] | None = None, use_default_paths: bool = True
    ) -> None:
        self.plugin_paths = [str(path) for path in plugin_paths or ()]
        self.use_default_paths = use_default_paths
        found = Registry()
        if use_default_paths:
            found.add_all(standard_host().specs(), standard_host().problems)
        self.host = PluginHost(found)
        self._lifecycle = Lifecycle(self.host)
        self._scan()

    # Finding

    def _scan(self) -> None:
        for scan in directory_scans(self.plugin_paths):
            new = (s for s in scan.specs if (s.kind, s.name) not in self.host.registry)
            self.host.registry.add_all(new, scan.problems)
            for problem in scan.problems:
                _log.warning("%s", problem.message)

    def discover_plugins(self) -> dict[str, PluginInfo]:
        """Return every plugin by name; none of them is imported."""
        self._scan()
        return {spec.name: self._info(spec) for spec in self._specs()}

    def list_plugins(self, plugin_type: PluginType | str | None = None) -> list[PluginInfo]:
        """Return the plugins of a type (all when None), by priority, then name.

        Raises:
            ValueError: there is no such type.
        """
        return [self._info(spec) for spec in self._specs(plugin_type)]

    def get_plugins_by_type(self, plugin_type: PluginType | str) -> list[PluginInfo]:
        """Return the plugins of a type, by priority, then name.

        Raises:
            ValueError: there is no such type.
        """
        return self.list_plugins(plugin_type)

    def register_plugin(self, plugin_class: type) -> PluginInfo:
        """Add a class by hand, under the name that its metadata states.

        Raises:
            PluginError: the name is taken, the class doesn't fit, or it can't be made.
        """
        metadata = self._metadata_of(plugin_class)
        spec = self.host.register(
            metadata.type.value, metadata.name, plugin_class, **_spec_fields(metadata)
        )
        self._warn_of_missing(spec)
        return self._info(spec)

    def get_plugin(self, plugin_type: PluginType | str, name: str) -> type | None:
        """Return a plugin's class; None when there is none of that name, or it can't be used.

        Raises:
            ValueError: there is no such type.
        """
        found = [spec for spec in self._specs(plugin_type) if spec.name == name]
        return self._class_of(found[0]) if found else None

    def get_plugin_by_name(self, plugin_name: str) -> type | None:
        """Return a plugin's class, whatever its type; None when there is none that can be used."""
        spec = self._find(plugin_name)
        return self._class_of(spec) if spec is not None else None

    # Living

    def load_plugin(self, plugin_name: str) -> bool:
        """Import a plugin's class; a dependency that is not installed is a warning."""
        spec = self._find(plugin_name)
        return spec is not None and self._class_of(spec) is not None

    def validate_plugin(self, plugin_name: str) -> bool:
        """Return whether a plugin's class, metadata and schema are in order."""
        spec = self._find(plugin_name)
        if spec is None or self._class_of(spec) is None:
            return False
        return self._tried(lambda: self.host.check_schema(spec.kind, spec.name))

    def initialize_plugin(self, plugin_name: str, config: Mapping[str, Any] | None = None) -> bool:
        """Make an instance and initialize it with `config`, checked and with its defaults.

        Without `config`, what `load_config` read for it is used.
        """
        spec = self._find(plugin_name)
        if spec is None or self._class_of(spec) is None:
            return False
        return self._tried(
            lambda: run_now(self._lifecycle.initialize(spec.kind, spec.name, config))
        )

    def start_plugin(self, plugin_name: str) -> bool:
        """Start an initialized plugin."""
        spec = self._find(plugin_name)
        return spec is not None and self._tried(
            lambda: run_now(self._lifecycle.start(spec.kind, spec.name))
        )

    def stop_plugin(self, plugin_name: str) -> bool:
        """Stop a plugin; one that was never initialized stays as it is."""
        spec = self._find(plugin_name)
        return spec is not None and self._tried(
            lambda: run_now(self._lifecycle.stop(spec.kind, spec.name))
        )

    def get_plugin_instance(self, plugin_name: str) -> Any | None:
        """Return the living instance; None before it was initialized."""
        spec = self._find(plugin_name)
        return self._lifecycle.instance(spec.kind, spec.name) if spec is not None else None

    def resolve_dependencies(self, plugin_names: Iterable[str]) -> list[str]:
        """Return the named plugins and those they depend on, each after what it needs.

        A dependency is a plugin when it is a bare name; one that is installed as a distribution,
        or that states a version, is none.

        Raises:
            PluginError: a name is unknown, or plugins wait for each other in a circle.
        """
        wanted = list(plugin_names)
        needs = {s.name: [d for d in s.requires if self._is_plugin(d)] for s in self._specs()}
        return start_order(needs, wanted) if wanted else []

    def load_config(self, config_path: str | Path) -> dict[str, Any]:
        """Read configurations by plugin name from YAML or JSON, and return them.

        The mapping may stand below a key `plugins`; a list of `name` and `config` is fine too.

        Raises:
            UsageError: the file can't be read, or is no such mapping.
        """
        configs = read_plugin_configs(Path(config_path))
        known = [spec.name for spec in self._specs()]
        for name in configs:
            if name not in known:
                hint = did_you_mean(name, known)
                _log.warning("%s: no plugin %r is known yet. %s", config_path, name, hint)
        self._lifecycle.configs.update(configs)
        return configs

    def get_status(self) -> dict[str, dict[str, Any]]:
        """Return state, version, type, error and, of the living ones, their own status, by name."""
        result: dict[str, dict[str, Any]] = {}
        for spec in self._specs():
            info = self._info(spec)
            entry = {
                "name": info.name,
                "type": info.metadata.type.value,
                "version": info.metadata.version,
                "state": info.state.name,
                "error": info.error,
            }
            if info.instance is not None:
                key = (spec.kind, spec.name)
                told = self._lifecycle.status([key])[key]
                entry["status"] = told.get("plugin")
                entry["error"] = info.error or told.get("error")
            result[spec.name] = entry
        return result

    # Between the two worlds

    def _specs(self, plugin_type: PluginType | str | None = None) -> list[PluginSpec]:
        wanted = _KINDS if plugin_type is None else (type_of(plugin_type).value,)
        return [spec for spec in self.host.specs() if spec.kind in wanted]

    def _find(self, name: str) -> PluginSpec | None:
        specs = {spec.name: spec for spec in self._specs()}
        if name not in specs:
            hint = did_you_mean(name, specs)
            _log.error("Unknown plugin %r; known: %s. %s", name, ", ".join(specs) or "none", hint)
        return specs.get(name)

    def _info(self, spec: PluginSpec) -> PluginInfo:
        return _LiveInfo(self.host, self._lifecycle, spec)

    def _tried(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except SteelyardError as error:
            _log.error("%s", error)
            return False
        return True

    def _class_of(self, spec: PluginSpec) -> type | None:
        """Return the class behind a spec, having learned what its metadata adds; None if broken."""
        key = (spec.kind, spec.name)
        first_time = self.host.state(*key) is core.PluginState.DISCOVERED
        try:
            cls = self.host.load(*key)
            if first_time and spec.authoring_style == _STYLE:
                self._learn(spec, cls)
        except SteelyardError as error:
            if self.host.state(*key) in core.USABLE:
                self.host.set_state(*key, core.PluginState.FAILED, str(error))
            _log.error("%s", error)
            return None
        return cls

    def _learn(self, spec: PluginSpec, cls: type) -> None:
        """Put what `get_metadata()` says into the spec: source text told only constants of it."""
        metadata = self._metadata_of(cls)
        if metadata.name != spec.name:
            _log.warning("Plugin %s calls itself %s in its metadata", spec.name, metadata.name)
        fuller = msgspec.structs.replace(spec, **_spec_fields(metadata))
        self.host.registry.add(fuller, replace=True)
        self._warn_of_missing(fuller)

    def _warn_of_missing(self, spec: PluginSpec) -> None:
        packages = [d for d in spec.requires if not self._is_plugin(d)]
        for missing in missing_requirements(packages, installed_version):
            _log.warning("Plugin %s: %s %s", spec.name, missing.requirement, missing.reason)

    def _is_plugin(self, dependency: str) -> bool:
        """Return whether a dependency means a plugin: a bare name that no distribution has."""
        if any(spec.name == dependency for spec in self._specs()):
            return True
        return _BARE_NAME.match(dependency) is not None and installed_version(dependency) is None

    def _metadata_of(self, cls: type) -> PluginMetadata:
        with self.host.border.crossing(getattr(cls, "__name__", str(cls)), "tell its metadata"):
            metadata = cls().get_metadata()
        if not isinstance(metadata, PluginMetadata):
            raise PluginError(
                f"Plugin {cls.__name__}: get_metadata() gave no metadata",
                got=metadata,
                expected="a PluginMetadata",
            )
        return metadata


class _LiveInfo(PluginInfo):
    """A plugin as it stands whenever it is looked at; nothing is kept here."""

    def __init__(self, host: PluginHost, lifecycle: Lifecycle, spec: PluginSpec) -> None:
        self._host = host
        self._lifecycle = lifecycle
        self._key = (spec.kind, spec.name)
        self.module_path, _, self.class_name = spec.target.partition(":")

    @property
    def metadata(self) -> PluginMetadata:  # type: ignore[override]
        spec = self._host.spec(*self._key)
        return PluginMetadata(
            name=spec.name,
            version=spec.version,
            type=PluginType(spec.kind),
            description=spec.description,
            author=str(spec.metadata.get("author", "")),
            dependencies=spec.requires,
            config_schema=spec.config_schema,
            capabilities=spec.capabilities,
            entry_point=str(spec.metadata.get("entry_point", spec.target)),
        )

    @property
    def state(self) -> PluginState:  # type: ignore[override]
        return state_of(self._host.state(*self._key))

    @property
    def instance(self) -> Any:
        return self._lifecycle.instance(*self._key)

    @property
    def error(self) -> str | None:  # type: ignore[override]
        return self._host.why(*self._key) or self._lifecycle.refused.get(self._key)


def _spec_fields(metadata: PluginMetadata) -> dict[str, Any]:
    return {
        "version": metadata.version,
        "description": metadata.description,
        "requires": tuple(metadata.dependencies),
        "config_schema": metadata.config_schema,
        "capabilities": frozenset(metadata.capabilities),
        "metadata": {"author": metadata.author, "entry_point": metadata.entry_point},
        "authoring_style": _STYLE,
    }


def read_plugin_configs(path: Path) -> dict[str, dict[str, Any]]:
    """Return configurations by plugin name; see `PluginManager.load_config`."""
    # Reading YAML is for those who have such a file.
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"Can't read the plugin configuration {path}: {error}") from error
    if isinstance(data, Mapping) and set(data) == {"plugins"}:
        data = data["plugins"]
    if isinstance(data, list) and all(isinstance(entry, Mapping) for entry in data):
        data = {entry.get("name"): entry.get("config") for entry in data}
    if not isinstance(data, Mapping):
        raise UsageError(
            f"{path} is no plugin configuration",
            got=data,
            expected="a mapping of plugin names to options",
        )
    configs: dict[str, dict[str, Any]] = {}
    for name, options in data.items():
        if not isinstance(name, str) or not isinstance(options, Mapping | None):
            raise UsageError(
                f"{path}: {name}", got=options, expected="a plugin name with a mapping of options"
            )
        configs[name] = dict(options or {})
    return configs
