"""What the fields of a load need of each other, and what they exclude."""

from collections.abc import Iterator

from steelyard.app.config.dataset import ScheduleConfig
from steelyard.app.config.fields import Path
from steelyard.app.config.load import LoadConfig
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.rate_series import SERIES, points_of
from steelyard.app.config.tree import Tree
from steelyard.domain.bench.plan import FIXED_SCHEDULE

BURST = "concurrency_burst"

_BEAT = ("concurrency", "concurrency_ramp", "prefill_concurrency", "prefill_concurrency_ramp",
         "request_rate_ramp", "ramp_strategy", "arrival_pattern", "arrival_smoothness")  # fmt: skip
_RAMPS = ("concurrency_ramp", "prefill_concurrency_ramp", "request_rate_ramp")
_NOT_SCHEDULED = ("request_rate", SERIES, "request_rate_ramp", "arrival_pattern",
                  "arrival_smoothness")  # fmt: skip

_SCHEDULED = (
    "a fixed schedule has the times of its trace; leave this out, or ignore those times with "
    "--no-fixed-schedule"
)

Mistake = tuple[Path, str]


def loads(config: BenchmarkConfig) -> list[tuple[Path, LoadConfig]]:
    """Return each load of the configuration with its path."""
    if config.phases:
        return [(("phases", index), phase) for index, phase in enumerate(config.phases)]
    return [(("load",), config.load), (("warmup",), config.warmup)]


def ends(load: LoadConfig) -> bool:
    """Tell whether a load says itself when it ends."""
    return any(end is not None for end in (load.request_count, load.sessions, load.duration))


def inherit(load: LoadConfig, parent: LoadConfig) -> LoadConfig:
    """Return `load` with the beat it does not set taken from `parent`; never its end."""
    taken = {name: getattr(parent, name) for name in _BEAT if getattr(load, name) is None}
    if not load.fixed_schedule and load.request_rate is None and load.request_rate_series is None:
        taken["request_rate"] = parent.request_rate
        taken[SERIES] = parent.request_rate_series
    if load.fixed_schedule:
        taken = {name: value for name, value in taken.items() if name not in _NOT_SCHEDULED}
    return load.model_copy(update=taken)


def shape_mistakes(config: BenchmarkConfig, tree: Tree) -> Iterator[Mistake]:
    """Yield what is wrong with the loads by themselves."""
    if config.phases:
        yield from _named_phases(config, tree)
    elif config.warmup != LoadConfig() and not ends(config.warmup):
        yield (
            ("warmup", min(_set_fields(config.warmup))),
            "there is no warm-up without a request count, sessions or a duration",
        )
    for where, load in loads(config):
        merged = load if where != ("warmup",) else inherit(load, config.load)
        for field, message in _load(merged, streaming=config.endpoint.streaming):
            if where != ("warmup",) or getattr(load, field) is not None:
                yield (*where, field), message
        try:
            points_of(load, tree, where)
        except ValueError as problem:
            yield (*where, SERIES), str(problem)


def _named_phases(config: BenchmarkConfig, tree: Tree) -> Iterator[Mistake]:
    for key in ("load", "warmup"):
        if tree.get((key,)):
            yield (key,), f"`{key}` and `phases` exclude each other; list it as a phase"
    seen: set[str] = set()
    for index, phase in enumerate(config.phases):
        if phase.name in seen:
            yield ("phases", index, "name"), f"the name {phase.name!r} is given twice"
        seen.add(phase.name)


def _set_fields(load: LoadConfig) -> set[str]:
    return {name for name in LoadConfig.model_fields if getattr(load, name) is not None}


def _load(load: LoadConfig, *, streaming: bool) -> Iterator[tuple[str, str]]:
    yield from _rate(load)
    yield from _ramps(load)
    if load.grace_period is not None and load.duration is None:
        yield "grace_period", "follows a duration, and there is none"
    if load.cancellation_delay is not None and not load.cancellation_rate:
        yield "cancellation_delay", "needs a cancellation rate above 0 percent"
    if load.prefill_concurrency is not None:
        if not streaming:
            yield "prefill_concurrency", "needs streaming: only a stream shows the first token"
        if load.concurrency is not None and load.prefill_concurrency > load.concurrency:
            yield "prefill_concurrency", f"exceeds the concurrency of {load.concurrency}"


def _rate(load: LoadConfig) -> Iterator[tuple[str, str]]:
    pattern = load.arrival_pattern
    rated = load.request_rate is not None or load.request_rate_series is not None
    if load.request_rate is not None and load.request_rate_series is not None:
        yield SERIES, "there is a request rate too; leave one of the two out"
    if load.fixed_schedule:
        for name in _NOT_SCHEDULED:
            if getattr(load, name) is not None:
                yield name, _SCHEDULED
        return
    if pattern == FIXED_SCHEDULE:
        yield "arrival_pattern", "is asked for by --fixed-schedule, or `fixed_schedule: true`"
        return
    if pattern == BURST and rated:
        yield "arrival_pattern", f"{BURST} has no request rate; leave one of the two out"
    if pattern == BURST and load.concurrency is None:
        yield "arrival_pattern", f"{BURST} needs a concurrency"
    if pattern not in {None, BURST} and not rated:
        yield "arrival_pattern", "an arrival pattern needs a request rate"
    if load.arrival_smoothness is not None and pattern not in {None, "gamma"}:
        yield "arrival_smoothness", f"shapes gamma arrivals only; the pattern is {pattern}"
    if load.arrival_smoothness is not None and not rated:
        yield "arrival_smoothness", "needs a request rate"
    if load.request_rate_ramp is not None and not rated:
        yield "request_rate_ramp", "needs a request rate, to which it grows"


def _ramps(load: LoadConfig) -> Iterator[tuple[str, str]]:
    for ramp in ("concurrency_ramp", "prefill_concurrency_ramp"):
        value = ramp.removesuffix("_ramp")
        if getattr(load, ramp) is not None and getattr(load, value) is None:
            yield ramp, f"needs a {value.replace('_', ' ')}, to which it grows"
    if load.concurrency_ramp and load.arrival_pattern == BURST:
        yield "concurrency_ramp", f"{BURST} begins with all at once; leave one of the two out"
    if load.ramp_strategy is not None and not any(getattr(load, ramp) for ramp in _RAMPS):
        yield "ramp_strategy", "shapes ramps, and there is none; set the duration of one"


def schedule_mistakes(config: BenchmarkConfig, *, has_timestamps: bool) -> Iterator[Mistake]:
    """Yield what is wrong with fixed schedules and the data set they replay."""
    scheduled = [(*path, "fixed_schedule") for path, load in loads(config) if load.fixed_schedule]
    given = config.input.schedule
    for name in ScheduleConfig.model_fields:
        if not scheduled and getattr(given, name) is not None:
            yield ("input", "schedule", name), "needs --fixed-schedule, and a trace with times"
    if given.auto_offset and given.start_offset is not None:
        yield (
            ("input", "schedule", "auto_offset"),
            "the start offset says where the schedule begins; leave one of the two out",
        )
    if given.end_offset is not None and (given.start_offset or 0) > given.end_offset:
        message = f"got {given.end_offset:g}; expected the start offset, {given.start_offset:g}"
        yield ("input", "schedule", "end_offset"), f"{message}, or more"
    if not scheduled:
        return
    if not has_timestamps:
        message = f"{config.input.type} prompts have no times; expected an input file with them"
        yield scheduled[0], message
    if config.input.sampling != "sequential":
        message = "expected sequential: a fixed schedule has the order of its times"
        yield ("input", "sampling"), f"got {config.input.sampling!r}; {message}"
