"""Turns a checked configuration into the plan of a run: every default resolved."""

import os
from typing import Any

from steelyard.app.config.checks import with_scheme
from steelyard.app.config.choices import (
    SYNTHETIC,
    dataset_options,
    endpoint_options,
    resolve_file,
)
from steelyard.app.config.endpoint import API_KEY_ENV
from steelyard.app.config.fields import Path
from steelyard.app.config.load import LoadConfig, PhaseConfig
from steelyard.app.config.load_checks import BURST, ends, inherit
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.rate_series import points_of
from steelyard.app.config.tree import Tree
from steelyard.app.run_types import PLACEMENTS
from steelyard.domain.bench.plan import (
    FIXED_SCHEDULE,
    SCHEDULE_FILE,
    DatasetPlan,
    EndpointPlan,
    EnginePlan,
    KubernetesPlan,
    OtelPlan,
    PhasePlan,
    Plan,
    PluginChoice,
    RemotePlan,
    SchedulePlan,
    TrackPlan,
)

EMBEDDED_MODEL = "steelyard-mock"
SYNTHETIC_ENTRIES = 100
GRACE_S = 30.0
LEAST_REQUESTS = 10
RANDOM_POOL = "random_pool"


def make_plan(
    config: BenchmarkConfig,
    tree: Tree,
    *,
    run_id: str,
    has_api_key: bool,
    command_line: str = "",
) -> Plan:
    """Return the plan of `config`; `tree` tells which file a relative path starts from."""
    embedded = not config.endpoint.urls
    options: dict[str, Any] = {}
    if embedded:
        options["embedded_mock"] = True
    if config.plugins.directories:
        options["plugin_dirs"] = [_absolute(path) for path in config.plugins.directories]
    if tree.document is not None:
        options["config_file"] = _absolute(tree.document.file)
    artifact_dir = _absolute(config.output.artifact_dir or os.path.join("artifacts", run_id))  # noqa: PTH118  a plan holds strings
    return Plan(
        run_id=run_id,
        models=config.models or (EMBEDDED_MODEL,),
        endpoint=_endpoint(config, has_api_key=has_api_key),
        phases=_phases(config, tree, artifact_dir),
        artifact_dir=artifact_dir,
        dataset=_dataset(config, tree),
        seed=config.input.random_seed,
        workers=config.service.workers,
        run_type=config.service.run_type,
        exporters=_exporters(config),
        export_level=config.output.export_level,
        phase_hooks=_choices(config.plugins.phase_hooks),
        post_processors=_choices(config.plugins.post_processors),
        goodput=dict(config.goodput),
        http_trace=config.output.http_trace,
        show_trace_timing=config.output.trace_timing,
        slice_s=config.output.slice_duration,
        fail_on=config.output.fail_on,
        ui=config.ui,
        log_level=config.service.log_level,
        command_line=command_line,
        track=_track(config),
        otel=_otel(config),
        remote=_remote(config, tree, artifact_dir),
        engine=_engine(config),
        kubernetes=_kubernetes(config, artifact_dir),
        options=options,
    )


_LEVEL_EXPORTERS = {"summary": (), "records": ("chunks",), "raw": ("chunks", "raw")}


def _exporters(config: BenchmarkConfig) -> tuple[str, ...]:
    """Return the exporters asked for, and those of the export level and of time slices."""
    chosen = config.output.exporters
    level = _LEVEL_EXPORTERS[config.output.export_level]
    sliced = ("timeslices",) if config.output.slice_duration else ()
    return (*chosen, *(name for name in (*level, *sliced) if name not in chosen))


def _track(config: BenchmarkConfig) -> TrackPlan | None:
    given = config.track
    if not given.backends:
        return None
    return TrackPlan(
        backends=given.backends,
        options={name: given.options[name] for name in given.backends if name in given.options},
        project=given.project,
        name=given.name or "",
        tags=given.tags,
        directory=_absolute(given.directory) if given.directory else "",
        routing=given.routing,
        artifacts=given.artifacts,
    )


def _otel(config: BenchmarkConfig) -> OtelPlan | None:
    given = config.otel
    if given.url is None:
        return None
    return OtelPlan(
        url=given.url, stream=given.stream, resource_attributes=given.resource_attributes
    )


def _kubernetes(config: BenchmarkConfig, artifact_dir: str) -> KubernetesPlan | None:
    if config.service.run_type != "k8s":
        return None
    given = config.kubernetes.model_dump()
    beside = os.path.join(artifact_dir, "kubernetes")  # noqa: PTH118  a plan holds strings
    output = given.pop("output")
    return KubernetesPlan(output=_absolute(output) if output else beside, **given)


RAY = "ray"
REMOTE_RUN_TYPES = ("remote", RAY)


def _engine(config: BenchmarkConfig) -> EnginePlan | None:
    if config.service.run_type != RAY:
        return None
    given = config.engine
    address = {"address": given.address} if given.address else {}
    return EnginePlan(name=given.name, options={**given.options, **address}, labels=given.labels)


def _remote(config: BenchmarkConfig, tree: Tree, artifact_dir: str) -> RemotePlan | None:
    """Return how workers come in from other machines; by hand they need a join file."""
    run_type, given = config.service.run_type, config.remote
    if run_type not in PLACEMENTS:
        return None
    join_file = _absolute(given.join_file) if given.join_file else ""
    if run_type == "remote" and not join_file:
        join_file = os.path.join(artifact_dir, "worker.join")  # noqa: PTH118  a plan holds strings
    # Of a cluster's machines it is known only when the run begins how they reach this one.
    says_where = run_type != RAY or tree.get(("remote", "listen")) is not None
    return RemotePlan(
        listen=given.listen if says_where else "",
        advertise=given.advertise or "",
        join_file=join_file,
        join_timeout_s=given.join_timeout,
    )


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  a plan holds strings


def _choices(uses: Any) -> tuple[PluginChoice, ...]:
    return tuple(PluginChoice(name=use.name, config=use.config) for use in uses)


def _endpoint(config: BenchmarkConfig, *, has_api_key: bool) -> EndpointPlan:
    given = config.endpoint
    options = endpoint_options(config)
    if given.use_legacy_max_tokens is not None:
        legacy = given.use_legacy_max_tokens
        options["max_tokens_field"] = "max_tokens" if legacy else "max_completion_tokens"
    return EndpointPlan(
        type=given.type,
        urls=tuple(with_scheme(url).rstrip("/") for url in given.urls),
        path=given.path,
        streaming=given.streaming,
        headers=tuple(given.headers.items()),
        extra_inputs=given.extra_inputs,
        api_key_env=given.api_key_env or (API_KEY_ENV if has_api_key else ""),
        url_strategy=given.url_strategy,
        transport=given.transport,
        connection_reuse=given.connection_reuse,
        connect_timeout_s=given.connect_timeout,
        request_timeout_s=given.request_timeout,
        first_byte_timeout_s=given.first_byte_timeout,
        idle_timeout_s=given.idle_timeout,
        insecure=given.insecure,
        ca_file=_absolute(given.ca_file) if given.ca_file else "",
        use_server_token_count=given.use_server_token_count,
        options=options,
    )


def _dataset(config: BenchmarkConfig, tree: Tree) -> DatasetPlan:
    given = config.input
    # A file has its conversations; those that are made are as many as are asked for.
    made = not given.file or given.type == RANDOM_POOL
    default_entries = (given.conversations or SYNTHETIC_ENTRIES * (not given.file)) if made else 0
    return DatasetPlan(
        type=given.type or SYNTHETIC,
        path=resolve_file(given.file, tree, ("input", "file")) if given.file else "",
        entries=given.entries or default_entries,
        sampling=given.sampling,
        isl_mean=given.isl_mean,
        isl_stddev=given.isl_stddev,
        osl_mean=given.osl_mean,
        osl_stddev=given.osl_stddev,
        tokenizer=config.tokenizer.name,
        tokenizer_options=config.tokenizer.options,
        chat_template=config.tokenizer.apply_chat_template,
        turns_mean=given.turns.mean,
        turns_stddev=given.turns.stddev,
        turn_delay_mean_ms=given.turns.delay_mean,
        turn_delay_stddev_ms=given.turns.delay_stddev,
        turn_delay_ratio=given.turns.delay_ratio,
        schedule=_schedule(config),
        options=dataset_options(config),
    )


def _schedule(config: BenchmarkConfig) -> SchedulePlan | None:
    if not any(load.fixed_schedule for load in (config.load, config.warmup, *config.phases)):
        return None
    given = config.input.schedule
    auto = given.auto_offset
    return SchedulePlan(
        auto_offset=given.start_offset is None if auto is None else auto,
        start_ms=given.start_offset,
        end_ms=given.end_offset,
    )


def _phases(config: BenchmarkConfig, tree: Tree, artifact_dir: str) -> tuple[PhasePlan, ...]:
    def made(load: LoadConfig, name: str, kind: str, path: Path) -> PhasePlan:
        series = points_of(load, tree, path)
        schedule = os.path.join(artifact_dir, SCHEDULE_FILE)  # noqa: PTH118  as above
        options: dict[str, Any] = load.options if isinstance(load, PhaseConfig) else {}
        if load.fixed_schedule:
            options = {**options, "path": schedule}
        return _phase(load, name, kind, config, series, options)

    if config.phases:
        return tuple(
            made(phase, phase.name, _kind(phase), ("phases", index))
            for index, phase in enumerate(config.phases)
        )
    phases = [made(config.load, "profiling", "profiling", ("load",))]
    if ends(config.warmup):
        warmup = inherit(config.warmup, config.load)
        own = config.warmup.request_rate_series is not None
        path: Path = ("warmup",) if own else ("load",)
        phases.insert(0, made(warmup, "warmup", "warmup", path))
    return tuple(phases)


def _kind(phase: PhaseConfig) -> str:
    return phase.kind or ("warmup" if phase.name == "warmup" else "profiling")


def _phase(
    load: LoadConfig,
    name: str,
    kind: str,
    config: BenchmarkConfig,
    series: tuple[tuple[float, float], ...],
    options: dict[str, Any],
) -> PhasePlan:
    rate = max(rate for _, rate in series) if series else load.request_rate
    closed = rate is None and not load.fixed_schedule
    concurrency = load.concurrency or (1 if closed else None)
    count, sessions = _ends_after(load, config, concurrency)
    grace = load.grace_period
    if grace is None:
        grace = config.endpoint.request_timeout if kind == "warmup" else GRACE_S
    return PhasePlan(
        name=name,
        kind=kind,
        concurrency=concurrency,
        prefill_concurrency=load.prefill_concurrency,
        request_rate=rate,
        rate_series=series,
        arrival="constant" if closed else _arrival(load),
        smoothness=load.arrival_smoothness or 1.0,
        request_count=count,
        session_count=sessions,
        duration_s=load.duration,
        grace_s=grace,
        ramp=load.ramp_strategy or "linear",
        request_rate_ramp_s=load.request_rate_ramp or 0.0,
        concurrency_ramp_s=load.concurrency_ramp or 0.0,
        prefill_concurrency_ramp_s=load.prefill_concurrency_ramp or 0.0,
        cancellation_rate=(load.cancellation_rate or 0.0) / 100,
        cancellation_delay_s=load.cancellation_delay or 0.0,
        options=options,
    )


def _ends_after(
    load: LoadConfig, config: BenchmarkConfig, concurrency: int | None
) -> tuple[int | None, int | None]:
    """Return the requests and the sessions that end a phase."""
    is_profiling = not config.phases and load is config.load
    sessions = load.sessions
    if sessions is None and (is_profiling or not ends(load)):
        sessions = config.input.conversations
    if ends(load) or sessions is not None:
        return load.request_count, sessions
    if load.fixed_schedule:
        return None, None  # the trace ends it
    return max(LEAST_REQUESTS, 2 * (concurrency or 1)), None


def _arrival(load: LoadConfig) -> str:
    if load.fixed_schedule:
        return FIXED_SCHEDULE
    if load.arrival_pattern not in {None, BURST}:
        return str(load.arrival_pattern)
    return "gamma" if load.arrival_smoothness is not None else "poisson"
