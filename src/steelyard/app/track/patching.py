"""Hooks in training frameworks: put in for the first run that asks, taken out after the last.

A framework is patched once for the process, however many runs ask for it. What it tells goes to the
run that is the active one where the framework is called, if that run asked.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from steelyard.app.composition import standard_host
from steelyard.app.track.active import active
from steelyard.app.track.attached import Attached
from steelyard.app.track.run_sink import Bounds, RunSink
from steelyard.domain.track.ports import Framework
from steelyard.kernel.errors import PluginError, SteelyardError, UsageError
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.track.import_watch import ImportWatch
from steelyard.runtime.track.patches import PatchSet

KIND = "framework"
OTHER_MAGIC = frozenset({"locals", "configs"})
"""What `automagic` may name that is no framework."""
BEGUN_WITHIN_S = 10.0
"""How long a run waits for the hooks that another thread puts in: that one may itself wait for a
module which the run's thread is importing."""

_UNUSABLE = frozenset({
    PluginState.DISABLED, PluginState.MISSING_REQUIREMENT, PluginState.FAILED,
    PluginState.QUARANTINED,
})  # fmt: skip
_log = logging.getLogger("steelyard.track")
_imports = ImportWatch()
_lock = threading.RLock()
_installed: "dict[str, _Installed]" = {}


class _Installed:
    """A framework's hooks, and the runs they tell."""

    def __init__(self, name: str, framework: Framework, host: PluginHost) -> None:
        self.name = name
        self.sinks: dict[object, RunSink] = {}
        self._framework = framework
        self._host = host
        self._patches = PatchSet(name, self._sink_here, self._quarantine)
        self._cancels: list[Callable[[], None]] = []
        self._begins_in: int | None = None
        self._has_begun = threading.Event()

    def begin(self) -> None:
        """Have the hooks put in, now or when the framework is imported."""
        self._begins_in = threading.get_ident()
        try:
            for module in self._framework.modules:
                action = partial(self._patches.guarded, self._install)
                self._cancels.append(_imports.when_imported(module, action))
        finally:
            self._has_begun.set()

    def wait_begun(self) -> None:
        """Wait until the thread that puts the hooks in has done so, or is not likely to soon."""
        if self._begins_in != threading.get_ident():
            self._has_begun.wait(BEGUN_WITHIN_S)

    def end(self) -> None:
        """Take the hooks out."""
        while self._cancels:
            self._cancels.pop()()
        self._patches.undo()

    def _install(self, module: Any) -> None:
        self._framework.install(module, self._patches)

    def _sink_here(self) -> RunSink | None:
        experiment = active()
        return None if experiment is None else self.sinks.get(experiment)

    def _quarantine(self, error: SteelyardError) -> None:
        why = str(error)
        if self._host.state(KIND, self.name) is PluginState.VALIDATED:
            self._host.set_state(KIND, self.name, PluginState.QUARANTINED, why)
        _log.warning("%s; it logs nothing more in this process", why)


def wanted(automagic: Any, host: PluginHost) -> dict[str, dict[str, Any]]:
    """Return the frameworks that `automagic` names, with their checked options.

    Args:
        automagic: True for all that can be used, a name, names, or a mapping of names to options;
            None, True and False are options too.
        host: knows the frameworks.

    Raises:
        UsageError: it is none of these.
        PluginError: there is no such framework, or it can't be used.
        ConfigError: options are wrong.
    """
    if automagic is None or automagic is False:
        return {}
    if automagic is True:
        return {
            name: host.configuration(KIND, name, {})
            for name in host.names(KIND)
            if host.state(KIND, name) not in _UNUSABLE
        }
    found: dict[str, dict[str, Any]] = {}
    for name, options in _named(automagic).items():
        if name in OTHER_MAGIC or options is False:
            continue
        host.spec(KIND, name)
        state = host.state(KIND, name)
        if state is PluginState.QUARANTINED:  # it was told when that happened
            continue
        if state in _UNUSABLE:
            raise PluginError(
                f"The framework '{name}' can't be used: {host.why(KIND, name)}",
                next_step="See: steelyard plugins --kind framework",
            )
        given = {} if options is None or options is True else dict(options)
        found[name] = host.configuration(KIND, name, given)
    return found


def _named(automagic: Any) -> Mapping[str, Any]:
    if isinstance(automagic, str):
        return {name.strip(): None for name in automagic.split(",") if name.strip()}
    if isinstance(automagic, Mapping):
        return automagic
    if isinstance(automagic, list | tuple | set | frozenset):
        return dict.fromkeys(automagic)
    raise UsageError(
        "This is no automagic",
        got=automagic,
        expected="True, names of frameworks, or a mapping of names to options",
        next_step="See: steelyard plugins --kind framework",
    )


def prepare(automagic: Any, *, host: PluginHost | None = None) -> Callable[[Attached], None] | None:
    """Return what has a run told of the frameworks that `automagic` names; None for none.

    What is returned is called when the run has begun; the run is told until it stops. Nothing of a
    framework is imported; one that is imported later is watched from then on.

    Raises:
        UsageError, PluginError, ConfigError: as `wanted`.
    """
    chosen_host = host or standard_host()
    chosen = wanted(automagic, chosen_host)
    if not chosen:
        return None
    made: dict[str, _Installed] = {}
    for name in chosen:
        try:
            made[name] = _Installed(name, _made(name, chosen_host), chosen_host)
        except PluginError as error:
            if automagic is not True:
                raise
            _log.warning("%s", error)  # nobody asked for this one by name
    return partial(_watch, chosen={name: chosen[name] for name in made}, made=made)


def _made(name: str, host: PluginHost) -> Framework:
    cls: type[Framework] = host.load(KIND, name)
    with host.border.crossing(f"framework '{name}'", "start up"):
        return cls()


def _watch(
    experiment: Attached, *, chosen: Mapping[str, dict[str, Any]], made: "dict[str, _Installed]"
) -> None:
    bounds = Bounds(experiment)
    experiment.on_stop(partial(_release, experiment, bounds))
    with _lock:
        fresh = [made[name] for name in chosen if name not in _installed]
        _installed.update({installed.name: installed for installed in fresh})
        others = [_installed[name] for name in chosen if _installed[name] not in fresh]
        for name, options in chosen.items():
            _installed[name].sinks[experiment] = RunSink(bounds, name, options)
    # Without the lock: it may wait for a module that another thread is importing.
    for installed in fresh:
        installed.begin()
    for installed in others:
        installed.wait_begun()


def _release(experiment: Attached, bounds: Bounds) -> None:
    with _lock:
        for name, installed in list(_installed.items()):
            if installed.sinks.pop(experiment, None) is not None and not installed.sinks:
                del _installed[name]
                installed.end()
    bounds.close()


def _after_fork() -> None:
    # A thread that is no more may have held it.
    global _lock  # noqa: PLW0603  see above
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
