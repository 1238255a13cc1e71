"""What a coordinator is made with."""

from typing import Any

import msgspec

from steelyard.domain.fleet.model import Limits
from steelyard.runtime.fleet.ledger_leadership import TTL_S
from steelyard.runtime.fleet.retention import Retention

DEFAULT_LEDGER = ".steelyard/fleet.ledger.sqlite"
DEFAULT_DIRECTORY = ".steelyard/fleet"
DEFAULT_SCHEDULER = "fair_share"
HOOK_TIMEOUT_S = 5.0
STOP_S = 10.0


class FleetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a coordinator remembers, who works for it, and who chooses.

    Attributes:
        ledger: the path of a SQLite file, or a URL `postgresql://user@host/database`.
        directory: where the outputs of attempts and the journal are kept.
        name: names the coordinator to people; host and process where it is empty.
        engines: options by name; plugins of kind `engine`.
        scheduler, scheduler_options: a plugin of kind `scheduler`.
        task_kinds: options of plugins of kind `task_kind`, by name; the others are made without.
        plugin_dirs: where plugins are looked for, beside the installed ones.
        hook_timeout_s: how long one call of a plugin may take.
        stand_by: where another coordinator leads, wait for its end instead of giving up, and hand
            on to it what is submitted here.
        leader_ttl_s: how long this coordinator may be silent before another takes over.
        journal: keep what happened also as a journal, in `directory`.
        track: the store of the tracker that is to have a run of each task; None for no runs.
        otel_url: an OpenTelemetry collector, HOST:PORT or its full URL for traces; it gets a trace
            of each task that ends. None for no traces.
        log_events: log what happens to tasks and workers; a program of one's own has hooks.
        stop_s: how long plugins may go on listening after the end.
        keep: how long what is over is kept.
    """

    ledger: str = DEFAULT_LEDGER
    directory: str = DEFAULT_DIRECTORY
    name: str = ""
    engines: dict[str, dict[str, Any]] = msgspec.field(default_factory=lambda: {"local": {}})
    scheduler: str = DEFAULT_SCHEDULER
    scheduler_options: dict[str, Any] = {}
    task_kinds: dict[str, dict[str, Any]] = {}
    plugin_dirs: tuple[str, ...] = ()
    limits: Limits = Limits()
    hook_timeout_s: float = HOOK_TIMEOUT_S
    stand_by: bool = False
    leader_ttl_s: float = TTL_S
    journal: bool = True
    track: str | None = None
    otel_url: str | None = None
    log_events: bool = False
    stop_s: float = STOP_S
    keep: Retention = Retention()
