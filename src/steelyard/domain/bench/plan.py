"""The plan of a run: frozen, complete, and all that a worker needs to know what to send when."""

from typing import Any

import msgspec


class EndpointPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which interface is spoken, where, and what is added to each request.

    Attributes:
        type: name of the endpoint plugin.
        urls: base URLs of the servers.
        path: replaces the endpoint's own path when not empty.
        streaming: ask for server-sent events.
        headers: added to each request, in order.
        extra_inputs: merged into each body before the turn's own `extra`.
        api_key_env: environment variable that holds the key; the key itself is never in a plan.
        url_strategy: `round_robin`, `random` or `least_in_flight`.
        transport: name of the transport plugin.
        connection_reuse: `pooled`, `never` or `sticky-user-sessions`.
        connect_timeout_s, request_timeout_s: bounds on one request.
        first_byte_timeout_s: bound on the wait for an answer to begin; 0 sets none.
        idle_timeout_s: bound on the silence within an answer; 0 sets none.
        insecure: TLS certificates are not checked; the report says so.
        ca_file: PEM file of the certificates to believe; empty believes those of the system.
        use_server_token_count: ask a streaming server for its usage and prefer it.
    """

    type: str = "chat"
    urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    path: str = ""
    streaming: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    extra_inputs: dict[str, Any] = {}
    api_key_env: str = ""
    url_strategy: str = "round_robin"
    transport: str = "http1"
    connection_reuse: str = "pooled"
    connect_timeout_s: float = 10.0
    request_timeout_s: float = 6 * 3600.0
    first_byte_timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    insecure: bool = False
    ca_file: str = ""
    use_server_token_count: bool = True
    options: dict[str, Any] = {}


FIXED_SCHEDULE = "fixed_schedule"
"""The arrival of a phase that replays the times of a trace."""


SCHEDULE_FILE = "dataset/schedule.i64"
"""Where the dataset manager writes a fixed schedule, below the directory of the run."""


class SchedulePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which times of a trace are replayed, and which of them is the phase's start.

    Attributes:
        auto_offset: the first one; else `start_ms`, or 0 where that is None.
        start_ms, end_ms: conversations that begin outside are left out; None bounds nothing.
    """

    auto_offset: bool = False
    start_ms: float | None = None
    end_ms: float | None = None

    def has(self, begin_ms: float) -> bool:
        """Tell whether a conversation that begins then is replayed; both bounds are."""
        early = self.start_ms is not None and begin_ms < self.start_ms
        return not early and (self.end_ms is None or begin_ms <= self.end_ms)


class DatasetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where prompts come from.

    Attributes:
        type: name of the dataset plugin.
        path: input file, empty when there is none.
        entries: how many conversations are made or kept; 0 keeps all of a file.
        sampling: `sequential`, `shuffle` or `random`.
        isl_mean, isl_stddev: input tokens of a synthetic prompt.
        osl_mean, osl_stddev: output tokens asked for; None asks for nothing.
        tokenizer: name of the tokenizer plugin; `tokenizer_options` are its own.
        chat_template: input tokens of chat requests count the tokenizer's chat template, where it
            has one.
        turns_mean, turns_stddev: turns of a synthetic conversation.
        turn_delay_mean_ms, turn_delay_stddev_ms: wait before each turn of it but the first.
        turn_delay_ratio: multiplies every turn's delay, of a file too.
        schedule: what is replayed of a trace's times; None where no phase has a fixed schedule.
    """

    type: str = "synthetic"
    path: str = ""
    entries: int = 100
    sampling: str = "sequential"
    isl_mean: float = 550.0
    isl_stddev: float = 0.0
    osl_mean: float | None = None
    osl_stddev: float = 0.0
    tokenizer: str = "builtin"
    tokenizer_options: dict[str, Any] = {}
    chat_template: bool = True
    turns_mean: float = 1.0
    turns_stddev: float = 0.0
    turn_delay_mean_ms: float = 0.0
    turn_delay_stddev_ms: float = 0.0
    turn_delay_ratio: float = 1.0
    schedule: SchedulePlan | None = None
    options: dict[str, Any] = {}


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of load.

    Exactly one of `concurrency` alone (closed loop), `request_rate` or the times of a trace (open
    loop, `concurrency` then being a ceiling) drives it; it ends at the first of `request_count`,
    `session_count`, `duration_s` and the trace's end. A session is a conversation, whatever its
    number of turns.

    Attributes:
        name: `warmup`, `profiling`, or the user's own.
        kind: `warmup` records are kept out of the metrics.
        arrival: name of the arrival plugin, used with `request_rate`; or `FIXED_SCHEDULE`.
        request_rate: requests per second; the highest of a `rate_series`.
        rate_series: seconds after the rate's ramp, and the requests per second there.
        smoothness: shape of gamma arrivals; 1 is Poisson.
        grace_s: how long requests in flight may still take after a duration ended.
        ramp: name of the ramp plugin that the three ramps follow.
        request_rate_ramp_s, concurrency_ramp_s, prefill_concurrency_ramp_s: how long the load
            takes to reach its value; 0 starts with it.
        cancellation_rate: share of the requests (0 to 1) that the client gives up on purpose.
        cancellation_delay_s: how long after the send it gives them up.
    """

    name: str
    kind: str = "profiling"
    concurrency: int | None = None
    prefill_concurrency: int | None = None
    request_rate: float | None = None
    arrival: str = "constant"
    rate_series: tuple[tuple[float, float], ...] = ()
    smoothness: float = 1.0
    request_count: int | None = None
    session_count: int | None = None
    duration_s: float | None = None
    grace_s: float = 30.0
    ramp: str = "linear"
    request_rate_ramp_s: float = 0.0
    concurrency_ramp_s: float = 0.0
    prefill_concurrency_ramp_s: float = 0.0
    cancellation_rate: float = 0.0
    cancellation_delay_s: float = 0.0
    options: dict[str, Any] = {}

    @property
    def fixed_schedule(self) -> bool:
        """The times of a trace say when each conversation begins."""
        return self.arrival == FIXED_SCHEDULE

    @property
    def open_loop(self) -> bool:
        """A schedule says when each session begins, not the end of another."""
        return self.request_rate is not None or self.fixed_schedule


class PluginChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that a user named, with its configuration."""

    name: str
    config: dict[str, Any] = {}


class TrackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The trackers that are told of a run, while it goes on and after it.

    Attributes:
        backends: names of backend plugins, or labels whose options name one as `plugin`; `local`
            is the store of runs, which is always there.
        options: configuration by backend; a secret in it is a reference such as `${NAME}`.
        project, name: as the run is called in trackers; the name is made of endpoint and models
            where it is empty.
        tags: texts by name.
        directory: the store of runs; empty for the default one.
        routing: rules on which backend is told what.
        artifacts: patterns of the files that become artifacts.
    """

    backends: tuple[str, ...]
    options: dict[str, dict[str, Any]] = {}
    project: str = "bench"
    name: str = ""
    tags: dict[str, str] = {}
    directory: str = ""
    routing: tuple[dict[str, Any], ...] = ()
    artifacts: tuple[str, ...] = ("*",)


class OtelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A collector that is told of requests and phases while the load runs.

    Attributes:
        url: full URL for metrics, without user and password.
        stream: `metrics` of requests, `timing` of phases, or `default` for both.
        resource_attributes: of everything that is told.
    """

    url: str
    stream: tuple[str, ...] = ("default",)
    resource_attributes: dict[str, str] = {}


class RemotePlan(msgspec.Struct, frozen=True, kw_only=True):
    """How workers on other machines come into a run.

    Attributes:
        listen: `HOST:PORT` that the controller listens on; empty for where the engine's machines
            reach it.
        advertise: `HOST` or `HOST:PORT` by which workers reach it; empty for that one.
        join_file: that the join is written to; empty writes none.
        join_timeout_s: how long the run waits until all have joined.
    """

    listen: str = "127.0.0.1:0"
    advertise: str = ""
    join_file: str = ""
    join_timeout_s: float = 300.0


class EnginePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The engine of the fleet that places the workers of a run.

    Attributes:
        name: of the engine plugin.
        options: its own; a secret is in none of them.
        labels: that machines must have, as they were given when these joined.
    """

    name: str = "ray"
    options: dict[str, Any] = {}
    labels: dict[str, str] = {}


class KubernetesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the manifests of a run are made; what is sent and when does not depend on it.

    Attributes:
        image: of all containers.
        namespace: that everything goes into.
        output: directory that the manifests are written to.
        node_selector: labels that nodes must have.
        labels: further ones, of every object.
        cpu, memory: what each worker asks for, quantities of Kubernetes.
        storage: size of the volume that keeps the artifacts; empty keeps none.
        storage_class: of that volume; empty for the cluster's default.
        image_pull_secret: a Secret by which the image is pulled; empty for none.
        ttl_s: how long what has finished is kept.
        ray_version: that the image has at least.
    """

    image: str = "steelyard:latest"
    namespace: str = "default"
    output: str = ""
    node_selector: dict[str, str] = {}
    labels: dict[str, str] = {}
    cpu: str = "1"
    memory: str = "2Gi"
    storage: str = "1Gi"
    storage_class: str = ""
    image_pull_secret: str = ""
    ttl_s: int = 3600
    ray_version: str = "2.53.0"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run that decides what is sent and when.

    Attributes:
        run_id: prefix of every request id.
        seed: with `phase` and `index` it fixes every random draw.
        models: used in turn by conversation index.
        artifact_dir: absolute; the journal and all outputs go below it.
        remote: how workers on other machines come in; None where no run type has such.
        run_type: `process`, `inline`, `remote`, `ray` or `k8s`.
        exporters: names of exporter plugins, in order.
        export_level: `summary`, `records` (per-chunk stamps too) or `raw`.
        http_trace: the exported rows of requests have the times of each HTTP phase.
        show_trace_timing: the console shows the times of the HTTP phases.
        slice_s: length of the time slices that metrics are also reported for; None reports none.
        fail_on: verdict statuses that make the exit code 1.
        ui: name of the ui plugin.
        track, otel: the trackers and the collector that are told; None tells nobody.
        engine: what places the workers; None for a run type without one.
        kubernetes: how manifests are made; None for a run type that makes none.
    """

    run_id: str
    models: tuple[str, ...]
    endpoint: EndpointPlan
    phases: tuple[PhasePlan, ...]
    artifact_dir: str
    dataset: DatasetPlan = DatasetPlan()
    seed: int = 42
    workers: int = 1
    run_type: str = "process"
    exporters: tuple[str, ...] = ("json", "csv", "jsonl", "parquet")
    export_level: str = "summary"
    phase_hooks: tuple[PluginChoice, ...] = ()
    post_processors: tuple[PluginChoice, ...] = ()
    goodput: dict[str, float] = {}
    http_trace: bool = False
    show_trace_timing: bool = False
    slice_s: float | None = None
    fail_on: tuple[str, ...] = ("INVALID",)
    ui: str = "simple"
    log_level: str = "INFO"
    command_line: str = ""
    track: TrackPlan | None = None
    otel: OtelPlan | None = None
    remote: RemotePlan | None = None
    engine: EnginePlan | None = None
    kubernetes: KubernetesPlan | None = None
    options: dict[str, Any] = {}
