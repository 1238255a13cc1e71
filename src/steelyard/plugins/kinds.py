"""What a class of each kind must offer, so that `validate` can name what is missing.

The ports themselves are Protocols in `domain`, which this layer may not see; a test holds this
table and those Protocols together. A method is written `name(arguments)`; the arguments are those
it is called with, by position.
"""

import inspect
from typing import Any

import msgspec

from steelyard.plugins.spec import PluginSpec


class Port(msgspec.Struct, frozen=True):
    """What a kind's classes must have.

    Attributes:
        protocol: where the port is documented.
        shapes: alternatives; a class must fit one of them. Each is a tuple of methods.
        attributes: class or instance attributes that all shapes share.
        optional: methods checked for their arguments only where the class has them.
        at_least_one: at least one of `optional` must be there.
    """

    protocol: str
    shapes: tuple[tuple[str, ...], ...] = ((),)
    attributes: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    at_least_one: bool = False


_BENCH = "steelyard.domain.bench.ports:"
_FLEET = "steelyard.domain.fleet.ports:"
_METRIC_FACTS = ("tag", "header", "unit", "larger_is_better", "definition", "source")

PORTS: dict[str, Port] = {
    "endpoint": Port(
        _BENCH + "Endpoint", (("build(history, context)", "read_event(data)", "read_body(body)"),)
    ),
    "transport": Port(
        "steelyard.runtime.exchange:Transport",
        (
            (
                "open(connections)",
                "submit(exchange)",
                "end_session(session)",
                "cancel(exchange, text)",
                "cancel_all(text)",
                "sweep(now_ns)",
                "set_wall_offset(offset_ns)",
                "close()",
            ),
        ),
    ),
    "tokenizer": Port(
        _BENCH + "Tokenizer", (("count(text)", "text_of(tokens, rng)"),), attributes=("name",)
    ),
    "dataset": Port(_BENCH + "Dataset", (("conversations()",),)),
    "arrival": Port(_BENCH + "Arrival", (("offsets_ns(first, count)",),)),
    "ramp": Port(_BENCH + "Ramp", (("offsets_ns(steps)", "elapsed_s(worth_s)"),)),
    "exporter": Port(_BENCH + "Exporter", (("export(view)",),)),
    "console": Port(_BENCH + "Console", (("render(view)",),)),
    "ui": Port(_BENCH + "Ui", (("update(stats, live)", "close()"),)),
    "phase_hook": Port(
        _BENCH + "PhaseHook",
        optional=(
            "on_phase_start(phase, tracker)",
            "on_phase_sending_complete(phase, tracker)",
            "on_phase_complete(phase, tracker)",
            "on_phase_timeout(phase, tracker)",
        ),
        at_least_one=True,
    ),
    "post_processor": Port(_BENCH + "PostProcessor", (("process(results)",),)),
    "metric": Port(
        _BENCH + "RecordMetric, ChunkMetric, RunMetric or AdjustedMetric",
        (("values(batch)",), ("chunk_values(gaps_ns)",), ("value(totals)",), ("adjusts()",)),
        attributes=_METRIC_FACTS,
    ),
    "service": Port(
        "steelyard.runtime.service:Service",
        (("initialize()", "run()", "configure(message)", "start()", "stop()", "cleanup()"),),
        attributes=("service_type",),
    ),
    "backend": Port(
        "steelyard.domain.track.ports:Backend",
        (("open(run)", "log(items)", "flush()", "close(end)"),),
    ),
    "scheduler": Port(
        "steelyard.domain.fleet.ports:Scheduler",
        (
            (
                "added(task)",
                "removed(task_id)",
                "leased(task)",
                "ended(task, attempt)",
                "propose(free, workers, now_ns)",
                "metrics()",
            ),
        ),
    ),
    "framework": Port(
        "steelyard.domain.track.ports:Framework",
        (("install(module, patches)",),),
        attributes=("modules",),
    ),
    "collector": Port(
        "steelyard.domain.track.ports:Collector",
        optional=("validate_environment()", "start()", "facts()", "collect()", "stop()"),
        at_least_one=True,
    ),
    "engine": Port(
        _FLEET + "Engine",
        (("start()", "submit(lease, spec)", "cancel(lease)", "next_event()", "stop()"),),
    ),
    "task_kind": Port(
        _FLEET + "TaskKind",
        (("prepare(spec, earlier)", "work(spec, directory)", "outcome(spec, ran)"),),
    ),
}
"""Kinds with a port. A kind that is not here yet accepts any class."""

STYLES: dict[str, Port] = {
    "distributed_testing": Port(
        "steelyard.dialects.distributed_testing.plugin_architecture:Plugin",
        (("initialize(coordinator)", "shutdown()"),),
    ),
    "tracelet": Port(
        "steelyard.dialects.tracelet.core.plugins:PluginBase",
        (("get_metadata()", "initialize(config)", "start()", "stop()", "get_status()"),),
    ),
}
"""Ports of authoring styles that say themselves what their classes have, whatever the kind."""


def port_for(spec: PluginSpec) -> Port | None:
    """Return the port that `spec`'s class must fit, or None when there is none yet."""
    return STYLES.get(spec.authoring_style) or PORTS.get(spec.kind)


def split_method(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and argument names of `name(arguments)`."""
    name, _, arguments = text.rstrip(")").partition("(")
    return name, tuple(a.strip() for a in arguments.split(",") if a.strip())


def accepts(function: Any, count: int, *, bound: bool) -> bool:
    """Tell whether `function` can be called with `count` positional arguments.

    `bound` says that `self` is already in place. What has no readable signature is believed.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    arguments = [None] * (count if bound else count + 1)
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _method_problem(cls: type, method: str) -> str | None:
    name, arguments = split_method(method)
    found = inspect.getattr_static(cls, name, None)
    if found is None:
        return None if _is_set_in_init(cls, name) else f"has no method {method}"
    if getattr(found, "__isabstractmethod__", False):
        return f"leaves the abstract method {method} open"
    bound = isinstance(found, staticmethod | classmethod)
    function = getattr(cls, name)
    if not callable(function):
        return f"has {name}, which is not a method; expected {method}"
    if not accepts(function, len(arguments), bound=bound):
        return f"has {name}{inspect.signature(function)}; expected {method}"
    return None


def _has_attribute(cls: type, name: str) -> bool:
    if any(name in vars(parent) for parent in cls.__mro__):
        return True
    if any(name in getattr(parent, "__annotations__", {}) for parent in cls.__mro__):
        return True
    return _is_set_in_init(cls, name)


def _is_set_in_init(cls: type, name: str) -> bool:
    """Tell whether `__init__` mentions `name`: the class must not be made to be checked."""
    init = getattr(cls, "__init__", None)
    return name in getattr(getattr(init, "__code__", None), "co_names", ())


def class_problems(cls: Any, port: Port | None) -> list[str]:
    """Return what keeps `cls` from fitting `port`, one phrase each; empty when it fits.

    Nothing is instantiated.
    """
    if not inspect.isclass(cls):
        return [f"is a {type(cls).__name__}, not a class"]
    if port is None:
        return []
    trials: list[list[str]] = [
        [p for p in (_method_problem(cls, m) for m in shape) if p is not None]
        for shape in port.shapes
    ]
    problems = min(trials, key=len)
    problems += [f"has no attribute {a}" for a in port.attributes if not _has_attribute(cls, a)]
    present = [m for m in port.optional if hasattr(cls, split_method(m)[0])]
    problems += [p for p in (_method_problem(cls, m) for m in present) if p is not None]
    if port.at_least_one and not present:
        problems.append("has none of " + ", ".join(port.optional))
    return problems
