"""Initializes, starts and stops plugins in the order they need, whatever style they are written in.

Creating an instance (`PluginHost.create`) is for plugins that are used and thrown away: endpoints,
exporters. This is for those that live as long as a run: backends, collectors, coordinator plugins.
"""

import asyncio
import inspect
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from steelyard.kernel.errors import ConfigError, PluginError, SteelyardError
from steelyard.plugins.registry import Key
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost, label

STEP_TIMEOUT_S = 30.0

_T = TypeVar("_T")


class Style(msgspec.Struct, frozen=True):
    """How plugins of one authoring style are made and moved.

    Attributes:
        config_in: where configuration goes: to the `constructor`, to `initialize`, or `configure`.
        initialize, start, stop: method names; an empty one or a missing method is skipped.
    """

    config_in: str
    initialize: str = "initialize"
    start: str = "start"
    stop: str = "stop"


STYLES = {
    "core": Style("constructor"),
    "aiperf": Style("constructor"),
    "tracelet": Style("initialize"),
    "distributed_testing": Style("configure", start="", stop="shutdown"),
}


def run_now(step: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a lifecycle step without an event loop, for sync callers.

    Raises:
        PluginError: the step really waits for something: await it instead.
    """
    try:
        step.send(None)
    except StopIteration as done:
        value: _T = done.value
        return value
    step.close()
    raise PluginError(
        "This plugin is asynchronous and was called from synchronous code",
        next_step="Await the call instead.",
    )


class Lifecycle:
    """The living plugins of one host.

    Args:
        host: loads the classes and keeps the states.
        arguments: passed to each `initialize` in front of its configuration (a coordinator).
        timeout_s: bound of one asynchronous step; a synchronous one runs on the caller's thread,
            where the plugin's own resources were made, and can't be bounded.

    Attributes:
        configs: configuration by plugin name, for an `initialize` that is given none.
        refused: why a configuration was last refused, by plugin; its state did not change.
    """

    def __init__(
        self, host: PluginHost, *arguments: Any, timeout_s: float = STEP_TIMEOUT_S
    ) -> None:
        self.host = host
        self.arguments = arguments
        self.timeout_s = timeout_s
        self.configs: dict[str, Mapping[str, Any]] = {}
        self.refused: dict[Key, str] = {}
        self._instances: dict[Key, Any] = {}
        self._started: list[Key] = []

    def instance(self, kind: str, name: str) -> Any | None:
        """Return the living instance, None before `initialize`."""
        spec = self.host.spec(kind, name)
        return self._instances.get((spec.kind, spec.name))

    async def initialize(
        self, kind: str, name: str, config: Mapping[str, Any] | None = None
    ) -> Any:
        """Return a new instance, configured and initialized.

        Raises:
            PluginError: it can't be loaded, raised, or said no by returning False.
            ConfigError: `config` is wrong; the state stays as it was.
        """
        spec = self.host.spec(kind, name)
        cls = self.host.load(kind, name)
        key = (spec.kind, spec.name)
        chosen = self.configs.get(name, {}) if config is None else config
        try:
            checked = self.host.configuration(kind, name, dict(chosen))
        except ConfigError as error:
            self.refused[key] = str(error)
            raise
        self.refused.pop(key, None)
        style = STYLES[spec.authoring_style]
        try:
            instance = await self._make(spec, cls, style, checked)
        except PluginError as error:
            self.host.set_state(kind, name, PluginState.FAILED, str(error))
            raise
        self._instances[key] = instance
        self.host.set_state(kind, name, PluginState.INITIALIZED)
        return instance

    async def _make(self, spec: PluginSpec, cls: type, style: Style, config: dict[str, Any]) -> Any:
        with self.host.border.crossing(label(spec), "be made"):
            instance: Any = cls(**config) if style.config_in == "constructor" else cls()
        if style.config_in == "initialize":
            instance.config = dict(config)
            await self._step(spec, instance, style.initialize, dict(config))
        else:
            if style.config_in == "configure" and config:
                await self._step(spec, instance, "configure", config)
            await self._step(spec, instance, style.initialize, *self.arguments)
        return instance

    async def start(self, kind: str, name: str) -> None:
        """Start an initialized plugin.

        Raises:
            PluginError: a plugin it needs is not started, or its `start` failed.
        """
        spec = self.host.spec(kind, name)
        for needed in spec.plugins:
            other = self.host.resolve(needed, spec.kind)
            state = self.host.state(other.kind, other.name)
            if state is not PluginState.STARTED:
                raise PluginError(
                    f"The {label(spec)} needs the {label(other)}, which is {state.value}",
                    next_step="Start that one first, or both with Lifecycle.start_all().",
                )
        await self._move(spec, STYLES[spec.authoring_style].start, PluginState.STARTED)
        self._started.append((spec.kind, spec.name))

    async def stop(self, kind: str, name: str) -> None:
        """Stop a plugin; one that was never initialized is left as it is.

        Raises:
            PluginError: its `stop` failed.
        """
        spec = self.host.spec(kind, name)
        key = (spec.kind, spec.name)
        if key not in self._instances or self.host.state(*key) is PluginState.STOPPED:
            return
        if key in self._started:
            self._started.remove(key)
        await self._move(spec, STYLES[spec.authoring_style].stop, PluginState.STOPPED)

    async def start_all(self, wanted: Mapping[Key, Mapping[str, Any]]) -> dict[Key, str]:
        """Initialize and start plugins and all they need, in order; return what failed and why.

        A failure stops those that need the failed one, and nobody else.

        Args:
            wanted: `(kind, name)` to configuration.

        Raises:
            PluginError: a name is unknown, or plugins wait for each other.
        """
        failures: dict[Key, str] = {}
        for spec in self.host.order(wanted):
            key = (spec.kind, spec.name)
            if self.host.state(*key) is PluginState.STARTED:
                continue
            try:
                await self.initialize(*key, wanted.get(key))
                await self.start(*key)
            except SteelyardError as error:
                failures[key] = str(error)
        return failures

    async def stop_all(self) -> dict[Key, str]:
        """Stop what was started, last first; return what failed and why."""
        failures: dict[Key, str] = {}
        for key in reversed(list(self._started)):
            try:
                await self.stop(*key)
            except SteelyardError as error:
                failures[key] = str(error)
        return failures

    def status(self, keys: Iterable[Key] | None = None) -> dict[Key, dict[str, Any]]:
        """Return state, reason and the plugin's own `get_status()` of each living plugin."""
        found: dict[Key, dict[str, Any]] = {}
        for key in self._instances if keys is None else keys:
            status = {"state": self.host.state(*key).value, "why": self.host.why(*key)}
            instance = self._instances.get(key)
            own = getattr(instance, "get_status", None)
            if own is not None:
                try:
                    with self.host.border.crossing(f"{key[0]} '{key[1]}'", "tell its status"):
                        status["plugin"] = own()
                except SteelyardError as error:
                    status["error"] = str(error)
            found[key] = status
        return found

    async def _move(self, spec: PluginSpec, method: str, to: PluginState) -> None:
        key = (spec.kind, spec.name)
        if key not in self._instances:
            raise PluginError(f"The {label(spec)} is not initialized", next_step="Initialize it.")
        try:
            await self._step(spec, self._instances[key], method)
        except PluginError as error:
            self.host.set_state(*key, PluginState.FAILED, str(error))
            raise
        self.host.set_state(*key, to)

    async def _step(self, spec: PluginSpec, instance: Any, method: str, *args: Any) -> None:
        function = getattr(instance, method, None) if method else None
        if function is None:
            return
        with self.host.border.crossing(label(spec), method):
            result = function(*args)
            if inspect.isawaitable(result):
                result = await self._bounded(result)
        if result is False:
            raise PluginError(f"Plugin {label(spec)} said no: its {method}() returned False")

    async def _bounded(self, step: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # driven by run_now: there is no loop, and no clock to bound it by
            return await step
        return await asyncio.wait_for(step, self.timeout_s)
