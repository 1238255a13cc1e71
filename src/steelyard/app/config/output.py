"""Sections `output`, `service` and `plugins`, and the goodput objectives."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower, split_list, split_paths, upper
from steelyard.app.config.section import NotBool, Seconds, Section


class OutputConfig(Section):
    """What a run leaves behind."""

    artifact_dir: Annotated[
        str | None,
        Flag(("--artifact-dir", "--output-artifact-dir"), Groups.OUTPUT, metavar="DIR"),
        Field(description="Directory of the journal and all outputs; artifacts/RUN_ID without it."),
    ] = None
    export_level: Annotated[
        Literal["summary", "records", "raw"],
        BeforeValidator(lower),
        Flag(("--export-level", "--profile-export-level"), Groups.OUTPUT),
        Field(
            description="summary: metrics and one row per request; records: per-chunk stamps too; "
            "raw: requests and responses too."
        ),
    ] = "summary"
    slice_duration: Annotated[
        Seconds | None,
        Flag(("--slice-duration",), Groups.OUTPUT, unit="s"),
        Field(description="Report the metrics also for each slice of the run of this length."),
    ] = None
    http_trace: Annotated[
        bool,
        Flag(("--export-http-trace",), Groups.HTTP_TRACE),
        Field(description="Write the times of each HTTP phase into the row of each request."),
    ] = False
    trace_timing: Annotated[
        bool,
        Flag(("--show-trace-timing",), Groups.HTTP_TRACE),
        Field(description="Show the times of the HTTP phases in the console's report."),
    ] = False
    exporters: Annotated[
        tuple[str, ...],
        BeforeValidator(split_list),
        Flag(("--exporters",), Groups.OUTPUT, metavar="NAMES"),
        Field(description="Names of the exporter plugins, in order."),
    ] = ("json", "csv", "jsonl", "parquet")
    fail_on: Annotated[
        tuple[Literal["SUSPECT", "INVALID"], ...],
        BeforeValidator(split_list),
        BeforeValidator(upper),
        Flag(("--fail-on",), Groups.OUTPUT),
        Field(
            description="Verdicts that make the exit code 1, as does a worse one; an empty list "
            "never fails."
        ),
    ] = ("INVALID",)


class ServiceConfig(Section):
    """How Steelyard itself runs."""

    run_type: Annotated[
        Literal["process", "inline", "remote", "ray", "k8s"],
        BeforeValidator(lower),
        Flag(("--run-type",), Groups.SERVICE),
        Field(
            description="process: a titled process per role; inline: one process and loop; "
            "remote: workers join from other machines; ray: they are placed on the machines of a "
            "Ray cluster; k8s: write manifests for Kubernetes and start nothing."
        ),
    ] = "process"
    log_level: Annotated[
        Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(upper),
        Flag(("--log-level",), Groups.SERVICE),
        Field(description="How much is logged."),
    ] = "INFO"
    workers: Annotated[
        int,
        NotBool,
        Flag(("--workers", "--workers-max", "--max-workers"), Groups.WORKERS, unit="processes"),
        Field(
            ge=1,
            le=1024,
            description="Workers that send requests. Their number changes no intended time and no "
            "byte of a request.",
        ),
    ] = 1


class PluginUse(Section):
    """A plugin that is switched on, and its configuration."""

    name: Annotated[str, Field(description="Name of the plugin.")]
    config: Annotated[
        dict[str, Any],
        Field(description="Its configuration, checked against its own schema."),
    ] = Field(default_factory=dict)


class PluginsConfig(Section):
    """Plugins of the run beyond those that other sections name."""

    directories: Annotated[
        tuple[str, ...],
        BeforeValidator(split_paths),
        Flag(("--plugin-dir",), Groups.PLUGINS, metavar="DIR", env="STEELYARD_PLUGIN_DIRS"),
        Field(description="Directories searched for plugins; colons separate several."),
    ] = ()
    phase_hooks: Annotated[
        tuple[PluginUse, ...],
        Field(description="Told of each phase's events."),
    ] = ()
    post_processors: Annotated[
        tuple[PluginUse, ...],
        Field(description="Given the records after the run."),
    ] = ()
