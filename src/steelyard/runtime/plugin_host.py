"""The plugin host: from what was found to classes, instances and states, one plugin at a time.

A plugin that is missing, broken or slow gets a state and a sentence; nobody else is harmed.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.plugins.hooks import HookTable
from steelyard.plugins.kinds import class_problems, port_for
from steelyard.plugins.manifest import Problem, kind_of
from steelyard.plugins.order import start_order
from steelyard.plugins.registry import Key, Registry
from steelyard.plugins.requirements import install_line, missing_requirements
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import USABLE, PluginState, move
from steelyard.runtime.discovery import discover, installed_version
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_import import IMPORT_TIMEOUT_S, import_class


class _Entry(msgspec.Struct):
    """What the host knows of one plugin beyond its spec."""

    state: PluginState = PluginState.DISCOVERED
    why: str = ""
    install: str = ""
    cls: type | None = None
    notes: list[str] = []


def label(spec: PluginSpec) -> str:
    """Return how a plugin is named in sentences: `endpoint 'chat'`."""
    return f"{spec.kind} '{spec.name}'"


class PluginHost:
    """Loads, checks and makes plugins.

    Args:
        registry: what was found; see `PluginHost.standard`.
        version_of: distribution name to installed version, None when it is not installed.
        import_timeout_s: how long a stranger's import may take.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        version_of: Callable[[str], str | None] = installed_version,
        import_timeout_s: float = IMPORT_TIMEOUT_S,
    ) -> None:
        self.registry = registry if registry is not None else Registry()
        self.border = PluginBorder()
        self.hooks = HookTable()
        self.import_timeout_s = import_timeout_s
        self._version_of = version_of
        self._entries: dict[Key, _Entry] = {}

    @classmethod
    def standard(cls, plugin_dirs: Iterable[str | Path] = ()) -> "PluginHost":
        """Return a host over our batteries, installed packages and `plugin_dirs`."""
        return cls(discover(plugin_dirs))

    # What is known

    def specs(self, kind: str | None = None) -> list[PluginSpec]:
        """Return the specs of `kind` (all when None), by kind, then priority, then name."""
        return self.registry.specs(kind)

    def names(self, kind: str) -> list[str]:
        """Return the names of `kind`, by priority, then name."""
        return [spec.name for spec in self.registry.specs(kind)]

    def spec(self, kind: str, name: str) -> PluginSpec:
        """Return one spec.

        Raises:
            PluginError: kind or name is unknown; the message says what is installed.
        """
        return self.registry.get(kind, name)

    @property
    def problems(self) -> list[Problem]:
        """What was declared somewhere and can't be used."""
        return list(self.registry.problems)

    def state(self, kind: str, name: str) -> PluginState:
        """Return where a plugin stands."""
        return self._entry(self.spec(kind, name)).state

    def why(self, kind: str, name: str) -> str:
        """Return why a plugin can't be used; empty when it can, as far as is known."""
        return self._entry(self.spec(kind, name)).why

    def notes(self, kind: str, name: str) -> list[str]:
        """Return what was noticed about a plugin that works all the same."""
        return list(self._entry(self.spec(kind, name)).notes)

    def install_line(self, kind: str, name: str) -> str:
        """Return the command that installs what a plugin lacks; empty when it lacks nothing."""
        return self._entry(self.spec(kind, name)).install

    def _entry(self, spec: PluginSpec) -> _Entry:
        key = (spec.kind, spec.name)
        if key not in self._entries:
            entry = self._entries[key] = _Entry()
            if not spec.enabled:
                entry.why = f"disabled by {spec.origin}"
                entry.state = PluginState.DISABLED
            elif missing := missing_requirements(spec.requires, self._version_of):
                entry.why = "; ".join(f"{m.requirement} {m.reason}" for m in missing)
                entry.install = install_line(m.requirement for m in missing)
                # Reference 004: there, a missing dependency is a warning.
                if spec.authoring_style == "tracelet":
                    entry.notes.append(entry.why)
                    entry.why = ""
                else:
                    entry.state = PluginState.MISSING_REQUIREMENT
        return self._entries[key]

    def set_state(self, kind: str, name: str, to: PluginState, why: str = "") -> None:
        """Move a plugin to another state.

        Raises:
            PluginError: the transition is not legal.
        """
        spec = self.spec(kind, name)
        entry = self._entry(spec)
        entry.state = move(entry.state, to, plugin=label(spec))
        entry.why = why

    # Classes

    def import_class(self, kind: str, name: str) -> type:
        """Return a plugin's class, imported but not yet checked against its port.

        Raises:
            PluginError: it is disabled, lacks a requirement, or its import failed, now or before.
        """
        spec = self.spec(kind, name)
        entry = self._entry(spec)
        if entry.cls is not None and entry.state in USABLE:
            return entry.cls
        if entry.state is not PluginState.DISCOVERED:
            raise PluginError(
                f"The {label(spec)} is {entry.state.value}: {entry.why}",
                next_step=entry.install or "See: steelyard plugins doctor",
            )
        try:
            imported = import_class(spec, self.border, timeout_s=self.import_timeout_s)
        except PluginError as error:
            self.set_state(kind, name, PluginState.FAILED, str(error))
            raise
        entry.cls = imported.cls
        entry.notes += imported.notes()
        self.set_state(kind, name, PluginState.LOADED)
        return imported.cls

    def validate(self, kind: str, name: str) -> list[str]:
        """Import a plugin and return what keeps its class from fitting its kind's port.

        A plugin that does not fit becomes `failed`.
        """
        cls = self.import_class(kind, name)
        spec = self.spec(kind, name)
        entry = self._entry(spec)
        if entry.state is not PluginState.LOADED:
            return []
        port = port_for(spec)
        problems = class_problems(cls, port)
        if problems:
            where = f"; the port is {port.protocol}" if port else ""
            why = f"{spec.target} {'; '.join(problems)}{where}"
            self.set_state(kind, name, PluginState.FAILED, why)
        else:
            self.set_state(kind, name, PluginState.VALIDATED)
        return problems

    def load(self, kind: str, name: str) -> type:
        """Return a plugin's class, imported and fitting its port.

        Raises:
            PluginError: unknown, disabled, lacking a requirement, broken, or not fitting.
        """
        problems = self.validate(kind, name)
        spec = self.spec(kind, name)
        entry = self._entry(spec)
        if problems or entry.cls is None:
            raise PluginError(
                f"The {label(spec)} can't be used: {entry.why}",
                next_step="See: steelyard plugins doctor",
            )
        return entry.cls

    # Instances

    def configuration(self, kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Return `config` checked against the plugin's schema, with its defaults.

        Raises:
            ConfigError: fields are wrong; a line per field.
        """
        spec = self.spec(kind, name)
        if spec.config_schema is None:
            return dict(config)
        # Costs 40 ms to import, and most runs configure no plugin.
        from steelyard.plugins.schema import apply_schema

        strict = spec.authoring_style in ("core", "aiperf")
        return apply_schema(spec.config_schema, config, plugin=label(spec), strict=strict)

    def check_schema(self, kind: str, name: str) -> None:
        """Check that a plugin's config schema is itself right; a wrong one makes it `failed`.

        Raises:
            PluginError: it is not; the message names the field.
        """
        spec = self.spec(kind, name)
        if spec.config_schema is None:
            return
        from steelyard.plugins.schema import to_json_schema

        try:
            to_json_schema(spec.config_schema, plugin=label(spec))
        except PluginError as error:
            self.set_state(kind, name, PluginState.FAILED, str(error))
            raise

    def create(self, kind: str, name: str, *args: Any, **config: Any) -> Any:
        """Return an instance: `args` as they are, `config` checked against the plugin's schema.

        Raises:
            PluginError: the plugin can't be used, or its constructor raised.
            ConfigError: `config` is wrong.
        """
        cls = self.load(kind, name)
        spec = self.spec(kind, name)
        checked = self.configuration(kind, name, config)
        try:
            inspect.signature(cls).bind(*args, **checked)
        except TypeError as error:
            raise PluginError(
                f"The {label(spec)} can't be made: {error}",
                expected=f"{cls.__name__}{inspect.signature(cls)}",
            ) from None
        except ValueError:
            return self._construct(spec, cls, args, checked)
        return self._construct(spec, cls, args, checked)

    def _construct(
        self, spec: PluginSpec, cls: type, args: tuple[Any, ...], config: dict[str, Any]
    ) -> Any:
        with self.border.crossing(label(spec), "start up"):
            return cls(*args, **config)

    # Changes

    def register(self, kind: str, name: str, cls: type, **metadata: Any) -> PluginSpec:
        """Add a class by hand; `metadata` may hold any field of `PluginSpec` and facts of the kind.

        Raises:
            PluginError: the name is taken, or the class does not fit its port.
        """
        spec = self._registered(kind, name, cls, metadata)
        if (spec.kind, spec.name) in self.registry:
            holder = self.registry.get(spec.kind, spec.name)
            raise PluginError(
                f"The name {label(spec)} is taken by {holder.origin}",
                next_step="Choose another name, or use PluginHost.replaced() in a test.",
            )
        problems = class_problems(cls, port_for(spec))
        if problems:
            raise PluginError(f"The {label(spec)} can't be registered: {'; '.join(problems)}")
        self._put(spec, cls)
        return spec

    def _registered(self, kind: str, name: str, cls: type, metadata: dict[str, Any]) -> PluginSpec:
        fields = set(PluginSpec.__struct_fields__) - {"kind", "name", "target", "metadata"}
        stated = {key: value for key, value in metadata.items() if key in fields}
        facts = {key: value for key, value in metadata.items() if key not in fields}
        facts |= facts.pop("metadata", {})
        return PluginSpec(
            kind=kind_of(kind),
            name=name,
            target=f"{cls.__module__}:{cls.__qualname__}",
            metadata=facts,
            **stated,
        )

    def _put(self, spec: PluginSpec, cls: type) -> None:
        self.registry.add(spec, replace=True)
        self._entries[spec.kind, spec.name] = _Entry(PluginState.VALIDATED, cls=cls)

    def unregister(self, kind: str, name: str) -> None:
        """Forget a plugin.

        Raises:
            PluginError: it is unknown.
        """
        spec = self.spec(kind, name)
        self.registry.remove(spec.kind, spec.name)
        self._entries.pop((spec.kind, spec.name), None)

    @contextmanager
    def replaced(self, kind: str, name: str, cls: type, **metadata: Any) -> Iterator[PluginSpec]:
        """Put `cls` under a name, taken or not, for as long as the `with` block runs; for tests.

        The class is not checked against its port.
        """
        spec = self._registered(kind, name, cls, metadata)
        key = (spec.kind, spec.name)
        was = self.registry.remove(*key)
        entry = self._entries.pop(key, None)
        self._put(spec, cls)
        try:
            yield spec
        finally:
            self.registry.remove(*key)
            self._entries.pop(key, None)
            if was is not None:
                self.registry.add(was)
            if entry is not None:
                self._entries[key] = entry

    def disable(self, kind: str, name: str, why: str = "disabled by hand") -> None:
        """Keep a plugin listed and unused."""
        self.set_state(kind, name, PluginState.DISABLED, why)

    def reset(self, kind: str, name: str) -> None:
        """Forget how a plugin did, so that it is tried anew; this enables a disabled one."""
        self.set_state(kind, name, PluginState.DISCOVERED)
        spec = self.spec(kind, name)
        if spec.origin == "registered":  # there is nothing to import it from again
            self.set_state(kind, name, PluginState.LOADED)
        else:
            self._entry(spec).cls = None

    # Order

    def resolve(self, needed: str, kind: str) -> PluginSpec:
        """Return the plugin that `needed` names: `kind:name`, or a name, of `kind` if there is one.

        Raises:
            PluginError: no plugin has that name.
        """
        if ":" in needed:
            return self.spec(*needed.split(":", 1))
        if (kind, needed) in self.registry:
            return self.spec(kind, needed)
        for spec in self.registry:
            if spec.name == needed:
                return spec
        return self.spec(kind, needed)

    def order(self, wanted: Iterable[Key] = ()) -> list[PluginSpec]:
        """Return the plugins in `wanted` and all they need, in the order in which they may start.

        Raises:
            PluginError: a name is unknown, or plugins wait for each other.
        """
        specs = {f"{s.kind}:{s.name}": s for s in self.registry}
        names = [f"{s.kind}:{s.name}" for s in (self.spec(*key) for key in wanted)]
        needs: dict[str, list[str]] = {}
        for key, spec in specs.items():
            needs[key] = []
            for needed in spec.plugins:
                try:
                    found = self.resolve(needed, spec.kind)
                except SteelyardError:
                    needs[key].append(needed)
                else:
                    needs[key].append(f"{found.kind}:{found.name}")
        return [specs[name] for name in start_order(needs, names)]
