"""The collectors of a run: from what a person calls them to threads that log into it."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.track.attached import Attached
from steelyard.app.track.making import UNUSABLE, make_plugin
from steelyard.domain.track.collection import check_period
from steelyard.domain.track.names import check_run_id
from steelyard.domain.track.ports import Noted
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.track.sampler import Sampler

DEFAULT = ("system", "process", "gpu", "git", "environment", "cluster", "energy")
"""What `True` and `default` stand for; those of them that find nothing here are silent."""

STOP_S = 2.0
"""How long the end of a run waits for its collectors."""

_KINDS = ("collector", "telemetry_collector")
_log = logging.getLogger("steelyard.track")


class CollectorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One collector of a run.

    Attributes:
        name: of the plugin.
        label: is in front of the names of what it tells.
        options: configuration for the plugin.
        period_s: how often it is asked; as it says itself without it.
        instance: a collector object, or the class of one, of the script's own.
        is_optional: it is one of the usual ones, and nobody named it.
    """

    name: str
    label: str
    options: dict[str, Any] = {}
    period_s: float | None = None
    instance: Any = None
    is_optional: bool = False


def collector_specs(given: Any) -> tuple[CollectorSpec, ...]:
    """Return the collectors that `given` names.

    Args:
        given: None or False for none, True for the usual ones; a name, several in a list or
            separated by commas (`default` is the usual ones); a mapping of names to options; a
            collector object or class; or a list of these. Of the options, `period_s` says how
            often it is asked, and `plugin` names the plugin, or is the object, where the name is
            only a label.

    Raises:
        UsageError: it is none of these, or a label comes twice.
    """
    specs = list(_specs(given))
    named = [spec.label for spec in specs if not spec.is_optional]
    for label in named:
        check_run_id(label)
        if named.count(label) > 1:
            raise UsageError(
                f"Two collectors are called '{label}'",
                next_step='Write {"label": {"plugin": "name", ...}} to tell them apart.',
            )
    return tuple(spec for spec in specs if not spec.is_optional or spec.label not in named)


def _specs(given: Any) -> Iterator[CollectorSpec]:
    if given is True:
        yield from _named("default")
    elif isinstance(given, str):
        yield from _named(given)
    elif isinstance(given, Mapping):
        for label, options in given.items():
            if options is not False:
                yield _configured(str(label), options)
    elif isinstance(given, list | tuple | set | frozenset):
        for item in given:
            yield from _specs(item)
    elif _is_collector(given):
        name = _name_of(given)
        yield CollectorSpec(name=name, label=name, instance=given)
    elif given is not False and given is not None:
        raise UsageError(
            "This is no collector",
            got=given,
            expected="True, a name, a list of names, a mapping of names to options, or a collector "
            "object",
            next_step="See: steelyard plugins --kind collector",
        )


def _named(words: str) -> Iterator[CollectorSpec]:
    for word in filter(None, (part.strip() for part in words.split(","))):
        if word == "default":
            for name in DEFAULT:
                yield CollectorSpec(name=name, label=name, is_optional=True)
        elif word != "none":
            yield CollectorSpec(name=word, label=word)


def _is_collector(given: Any) -> bool:
    return any(callable(getattr(given, name, None)) for name in ("collect", "facts"))


def _name_of(collector: Any) -> str:
    """Return what a collector object calls itself; its class's name where it says nothing."""
    cls = collector if isinstance(collector, type) else type(collector)
    declared = getattr(collector, "plugin", None)
    if isinstance(declared, Mapping) and declared.get("name"):
        return str(declared["name"])
    if callable(getattr(collector, "get_metadata", None)) and not isinstance(collector, type):
        with PluginBorder().crossing(cls.__name__, "tell its name"):
            return str(collector.get_metadata().name)
    name = getattr(collector, "name", None)
    return name if isinstance(name, str) and name else cls.__name__


def _configured(label: str, options: Any) -> CollectorSpec:
    if options is None or options is True:
        return CollectorSpec(name=label, label=label)
    if not isinstance(options, Mapping):
        (spec,) = _specs([options])
        return msgspec.structs.replace(spec, label=label)
    kept = dict(options)
    period_s = kept.pop("period_s", None)
    if period_s is not None:
        period_s = check_period(period_s)
    plugin = kept.pop("plugin", label)
    if isinstance(plugin, str):
        return CollectorSpec(name=plugin, label=label, options=kept, period_s=period_s)
    if not _is_collector(plugin):
        raise UsageError(
            "This is no collector", got=plugin, expected="a name or a collector object"
        )
    return CollectorSpec(
        name=_name_of(plugin), label=label, options=kept, period_s=period_s, instance=plugin
    )


def usable(specs: Iterable[CollectorSpec], host: PluginHost) -> list[CollectorSpec]:
    """Return the collectors that can be used here, checked before the run begins.

    Nothing of a collector is imported for this. One of the usual ones that lacks a requirement is
    left out.

    Raises:
        PluginError: a named one is not there, or lacks a requirement.
        ConfigError: its options are wrong.
    """
    found = []
    for spec in specs:
        if spec.instance is None:
            kind = kind_of(spec.name, host)
            if host.state(kind, spec.name) in UNUSABLE:
                if spec.is_optional:
                    continue
                raise PluginError(
                    f"The collector '{spec.name}' can't be used: {host.why(kind, spec.name)}",
                    next_step=host.install_line(kind, spec.name) or None,
                )
            host.configuration(kind, spec.name, spec.options)
        found.append(spec)
    return found


def kind_of(name: str, host: PluginHost) -> str:
    """Return the kind of the collector `name`; those that benchmarks ask are collectors too."""
    return next((kind for kind in _KINDS if (kind, name) in host.registry), _KINDS[0])


def maker(spec: CollectorSpec, host: PluginHost) -> Callable[[], Any]:
    """Return what makes the collector."""
    if spec.instance is None:
        kind = kind_of(spec.name, host)
        return lambda: make_plugin(host, kind, spec.name, spec.options)

    def make() -> Any:
        with PluginBorder().crossing(f"collector '{spec.label}'", "be made"):
            return _prepared(spec.instance, spec.options)

    return make


def _prepared(given: Any, options: Mapping[str, Any]) -> Any:
    """Return a collector object that is ready to start.

    A class is made into one. What is told its options by `initialize` is told them, unless the
    script did that itself: then it is no more as it was made.
    """
    cls = given if isinstance(given, type) else type(given)
    if not callable(getattr(cls, "initialize", None)):
        return cls(**options) if isinstance(given, type) else given
    collector = cls() if isinstance(given, type) else given
    if options or getattr(collector, "__dict__", None) == getattr(cls(), "__dict__", {}):
        config = dict(options)
        describe = getattr(collector, "get_metadata", None)
        if describe is not None:
            from steelyard.plugins.schema import apply_schema

            schema = getattr(describe(), "config_schema", None) or {}
            config = apply_schema(schema, config, plugin=cls.__name__, strict=False)
        collector.config = config
        collector.initialize(dict(config))
    return collector


class Collecting:
    """The collectors of one run.

    Args:
        experiment: the run, which has begun.
        specs: what was found usable.
        host: has the plugins.
    """

    def __init__(
        self, experiment: Attached, specs: Sequence[CollectorSpec], host: PluginHost
    ) -> None:
        self._experiment = experiment
        self._lock = threading.Lock()
        self._is_open = True
        clock = SystemClock()
        self._samplers = [
            Sampler(
                spec.label, maker(spec, host), self, clock,
                period_s=spec.period_s, is_optional=spec.is_optional,
            )
            for spec in specs
        ]  # fmt: skip
        try:
            for sampler in self._samplers:
                sampler.start()
        except RuntimeError as error:
            _log.warning("The run goes on without all of its collectors: %s", error)

    def sample(self, label: str, values: Mapping[str, float]) -> None:
        """Log numbers, unless the run is about to end."""
        with self._lock:
            if self._is_open:
                self._experiment.log_sample(values, f"collector:{label}")

    def noted(self, label: str, facts: Noted) -> None:
        """Log what is said once."""
        with self._lock:
            if not self._is_open:
                return
            if facts.params:
                self._experiment.log_params({label: facts.params})
            if facts.tags:
                self._experiment.set_tags({f"{label}.{k}": v for k, v in facts.tags.items()})
            for name, data in facts.artifacts.items():
                self._experiment.log_bytes(data, f"{label}/{name}")

    def remark(self, label: str, text: str) -> None:
        """Say what became of a collector, where that is worth a word, in a tag of the run."""
        with self._lock:
            if self._is_open:
                self._experiment.set_tags({f"collector.{label}": text})

    def stop(self) -> None:
        """Have all collectors end within `STOP_S`; what they say later is not logged."""
        for sampler in self._samplers:
            sampler.stop()
        until = time.monotonic() + STOP_S
        late = [s.label for s in self._samplers if not s.join(max(0.0, until - time.monotonic()))]
        with self._lock:
            self._is_open = False
        if late:
            _log.warning("Collectors that did not end in time: %s", ", ".join(late))


def prepare(given: Any) -> Callable[[Attached], None] | None:
    """Return what attaches collectors to a run; None when it has none.

    Raises:
        UsageError: `given` names none.
        PluginError: a named collector can't be used.
        ConfigError: its options are wrong.
    """
    specs = collector_specs(given)
    if not specs:
        return None
    host = standard_host()
    found = usable(specs, host)

    def begin(experiment: Attached) -> None:
        experiment.on_stop(Collecting(experiment, found, host).stop)

    return begin
