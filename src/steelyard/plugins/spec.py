"""What is known of a plugin before any of its code is imported."""

from typing import Any

import msgspec

API_VERSION = 1

KINDS = (
    "endpoint", "transport", "dataset", "tokenizer", "arrival", "ramp", "timing", "phase_hook",
    "post_processor", "metric", "accumulator", "exporter", "console", "plot", "ui",
    "telemetry_collector", "accuracy_benchmark", "grader", "search_planner", "convergence",
    "service", "scheduler", "task_executor", "engine", "task_kind", "reporter", "notification",
    "monitoring", "integration", "security", "ci_provider", "browser", "collector", "backend",
    "framework", "custom",
)  # fmt: skip


class PluginSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of one plugin.

    Attributes:
        kind: one of `KINDS`; a stranger's unknown kind is kept as `custom`.
        name: unique within its kind.
        version: the plugin's own version.
        api_version: the kernel interface it was written for.
        origin: where it came from: `builtin`, `entry point NAME (DIST VERSION)`, `directory PATH`
            or `registered`.
        target: the class as `package.module:Class`.
        description: one line for people.
        priority: lower acts first.
        requires: PEP 508 requirements that must be installed.
        plugins: names of plugins that must start first.
        config_schema: JSON Schema, or the short dialect `{field: {type, required, default}}`.
        capabilities: what it says it can do.
        metadata: facts of the kind (an endpoint's `endpoint_path`, a service's `required`).
        authoring_style: `core`, `aiperf`, `distributed_testing` or `tracelet`.
        enabled: False keeps it listed and never loaded.
        location: directory to import `target` from, empty when it is importable already; `target`
            then names a file or a package in that directory.
    """

    kind: str
    name: str
    target: str
    version: str = "0"
    api_version: int = API_VERSION
    origin: str = "registered"
    description: str = ""
    priority: int = 100
    requires: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    config_schema: dict[str, Any] | None = None
    capabilities: frozenset[str] = frozenset()
    metadata: dict[str, Any] = {}
    authoring_style: str = "core"
    enabled: bool = True
    location: str = ""
