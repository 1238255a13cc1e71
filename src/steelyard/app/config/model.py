"""The one model of a benchmark's configuration: YAML, flags and environment all fill it."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from steelyard.app.config.dataset import InputConfig, TokenizerConfig
from steelyard.app.config.endpoint import EndpointConfig
from steelyard.app.config.engine import EngineConfig
from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.kubernetes import KubernetesConfig
from steelyard.app.config.load import LoadConfig, PhaseConfig
from steelyard.app.config.otel import OtelConfig
from steelyard.app.config.output import OutputConfig, PluginsConfig, ServiceConfig
from steelyard.app.config.parsing import lower, parse_goodput, split_list
from steelyard.app.config.remote import RemoteConfig
from steelyard.app.config.section import PositiveFloat, Section, not_yet
from steelyard.app.config.track import TrackConfig


class BenchmarkConfig(Section):
    """Everything a person may say about a run."""

    models: Annotated[
        tuple[str, ...],
        BeforeValidator(split_list),
        Flag(("--model", "--model-names", "-m"), Groups.ENDPOINT, metavar="NAME"),
        Field(description="Models asked for, used in turn by conversation."),
    ] = ()
    endpoint: Annotated[EndpointConfig, Field(description="The server under test.")] = Field(
        default_factory=EndpointConfig
    )
    input: Annotated[InputConfig, Field(description="Where prompts come from.")] = Field(
        default_factory=InputConfig
    )
    tokenizer: Annotated[TokenizerConfig, Field(description="What counts tokens.")] = Field(
        default_factory=TokenizerConfig
    )
    load: Annotated[LoadConfig, Field(description="The load of the one profiling phase.")] = Field(
        default_factory=LoadConfig
    )
    warmup: Annotated[
        LoadConfig,
        Field(
            description="The warm-up before it; there is one when it has a request count or a "
            "duration."
        ),
    ] = Field(default_factory=LoadConfig)
    phases: Annotated[
        tuple[PhaseConfig, ...],
        Field(
            max_length=256,
            description="Any number of named phases, instead of `load` and `warmup`.",
        ),
    ] = ()
    goodput: Annotated[
        dict[str, PositiveFloat],
        BeforeValidator(parse_goodput),
        Flag(("--goodput",), Groups.GOODPUT, metavar="METRIC:NUMBER"),
        Field(
            description="Service level objectives in the metric's unit, such as "
            "`time_to_first_token:200 inter_token_latency:20`; a request that meets all is good.",
        ),
    ] = Field(default_factory=dict)
    output: Annotated[OutputConfig, Field(description="What a run leaves behind.")] = Field(
        default_factory=OutputConfig
    )
    track: Annotated[TrackConfig, Field(description="Which trackers are told of a run.")] = Field(
        default_factory=TrackConfig
    )
    otel: Annotated[
        OtelConfig, Field(description="Results streamed to an OpenTelemetry collector.")
    ] = Field(default_factory=OtelConfig)
    service: Annotated[ServiceConfig, Field(description="How Steelyard itself runs.")] = Field(
        default_factory=ServiceConfig
    )
    engine: Annotated[
        EngineConfig, Field(description="Which machines the run type ray places workers on.")
    ] = Field(default_factory=EngineConfig)
    kubernetes: Annotated[
        KubernetesConfig, Field(description="The manifests of the run type k8s.")
    ] = Field(default_factory=KubernetesConfig)
    remote: Annotated[RemoteConfig, Field(description="Workers on other machines.")] = Field(
        default_factory=RemoteConfig
    )
    ui: Annotated[
        str,
        not_yet(dashboard="simple or none; dashboard is not supported yet"),
        BeforeValidator(lower),
        Flag(("--ui", "--ui-type"), Groups.UI, metavar="NAME"),
        Field(description="Name of the ui plugin that shows progress: simple or none."),
    ] = "simple"
    plugins: Annotated[PluginsConfig, Field(description="Plugins of the run.")] = Field(
        default_factory=PluginsConfig
    )
