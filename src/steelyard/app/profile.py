"""The main job: run a plan, write everything down, say what it came to."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.embedded_mock import embedded_mock
from steelyard.app.guarded_ui import GuardedUi
from steelyard.app.live_view import LiveView
from steelyard.app.preflight import (
    make_directory,
    require_plugins,
    require_reachable,
    set_journal_aside,
)
from steelyard.app.run_controller import RunController
from steelyard.app.signals import EXIT_INTERRUPTED, term_as_interrupt
from steelyard.domain.bench.document import summary_document
from steelyard.domain.bench.messages import ReportBuilt
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.summary import Summary
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.board import board_path
from steelyard.runtime.calibration_store import (
    load_calibration,
    outdated_calibration,
    state_directory,
)
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.host_facts import host_facts
from steelyard.runtime.journal import JournalWriter, journal_directory
from steelyard.runtime.phase_hooks import PhaseHooks
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.process import held_signals
from steelyard.runtime.run_lock import run_lock
from steelyard.runtime.service_log import log_path, logging_to
from steelyard.runtime.supervisor import RoleSpec, ServiceDeath, Supervisor

if TYPE_CHECKING:
    from steelyard.app.bench_tracking.telling import Telling
    from steelyard.app.bench_tracking.tracking import Tracked
    from steelyard.app.otel_streaming import Streamed
    from steelyard.app.remote_setup import RemoteSetup

CONTROLLER_STREAM = "controller"
PLAIN_UI = "simple"
SYSTEM_CONTROLLER = "system_controller"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        summary: what was measured.
        files: written files by exporter; `failures` names exporters that failed and why.
        exit_code: 0; 1 when the verdict is among the plan's `fail_on`; 130 after Ctrl-C.
    """

    plan: Plan
    summary: Summary
    files: dict[str, list[str]]
    failures: dict[str, str]
    exit_code: int
    telling: "Telling | None" = None

    def tracked(self) -> "Tracked | None":
        """Return what became of the tracked run, None when the plan asks for none.

        Waits until the run is whole in its store, and a bounded time for trackers; a run that
        nobody waits for is finished all the same.
        """
        return self.telling.tracked() if self.telling is not None else None

    def streamed(self) -> "Streamed | None":
        """Return what a collector was told, None when the plan names none; waits within bounds."""
        return self.telling.streamed() if self.telling is not None else None

    @property
    def directory(self) -> str:
        """Where everything lies."""
        return self.plan.artifact_dir

    def summary_json(self) -> bytes:
        """Return the summary as `profile_export.json` has it."""
        return msgspec.json.format(msgspec.json.encode(summary_document(self.summary)), indent=2)


def run_profile(
    plan: Plan,
    *,
    api_key: str | None = None,
    host: PluginHost | None = None,
    phase_hooks: Iterable[object] = (),
) -> Outcome:
    """Run `plan` from this process, which becomes the system controller.

    Must be called without a running event loop and, for `run_type="process"`, from a process of
    one thread: the roles are forked.

    Args:
        plan: complete; see `app.config.load_plan`.
        api_key: sent as a bearer token; kept in this process's memory and its children's only.
        host: the plugins; the standard host when None.
        phase_hooks: hooks that are there already, told of the phases besides those of the plan.

    Raises:
        UsageError: the plan can't be run as it is.
        EndpointUnreachableError: no server takes a connection.
        PluginError: a plugin that the plan names can't be used.
    """
    if plan.kubernetes is not None:
        raise UsageError(
            "A plan of the run type k8s is written down, not run",
            next_step="Use `steelyard profile --run-type k8s`, and follow what it says.",
        )
    host = host or standard_host(tuple(plan.options.get("plugin_dirs", ())))
    require_plugins(plan, host)
    with ExitStack() as outer:
        outer.enter_context(term_as_interrupt())
        with ExitStack() as stack:
            plan = _prepared(plan, stack)
            directory = Path(plan.artifact_dir)
            if api_key is not None and plan.endpoint.api_key_env:
                os.environ[plan.endpoint.api_key_env] = api_key
            hooks = PhaseHooks(host, plan.phase_hooks)
            for hook in phase_hooks:
                hooks.add(hook)
            ui = _ui(plan, host)
            telling = outer.enter_context(_telling(plan, host))
            stack.callback(board_path(directory).unlink, missing_ok=True)
            live = LiveView(plan, ui, telling.feed if telling else None, host)
            stack.callback(live.close)
            controller = _execute(plan, host, hooks, live, stack)
        report = controller.report or _report_here(directory, host)
        if controller.failure is not None and not _measured(report):
            raise controller.failure
        if telling is not None:
            telling.end(controller.status, report)
        return _outcome(plan, controller.status, report, telling)


def _prepared(plan: Plan, stack: ExitStack) -> Plan:
    """Have a server that answers and a directory of the run's own; return the plan for them."""
    if plan.options.get("embedded_mock"):
        options = tuple(plan.options.get("embedded_mock_options", ()))
        url = stack.enter_context(embedded_mock(options))
        plan = msgspec.structs.replace(
            plan, endpoint=msgspec.structs.replace(plan.endpoint, urls=(url,))
        )
    targets = [parse_target(url) for url in plan.endpoint.urls]
    require_reachable(targets, plan.endpoint)
    directory = Path(plan.artifact_dir)
    make_directory(directory)
    stack.enter_context(run_lock(directory))
    set_journal_aside(directory)
    return fit_workers(plan)


def _ui(plan: Plan, host: PluginHost) -> GuardedUi:
    """Return the plan's ui; where it gives up, the plain line of progress goes on."""
    instead = partial(host.create, "ui", PLAIN_UI) if plan.ui != PLAIN_UI else lambda: None
    return GuardedUi(host.create("ui", plan.ui), f"ui '{plan.ui}'", host.border, instead)


def _telling(plan: Plan, host: PluginHost) -> "AbstractContextManager[Telling | None]":
    if plan.track is None and plan.otel is None:
        return nullcontext()
    # A run that nobody is told of loads nothing of the tracker.
    from steelyard.app.bench_tracking.telling import telling_of

    return telling_of(plan, host)


def _report_here(directory: Path, host: PluginHost) -> ReportBuilt:
    """Build the report in this process: the role that should have is gone."""
    from steelyard.runtime.report import build_report  # what it needs would delay the first request

    with term_as_interrupt() as check:
        return build_report(directory, host, check=check)


def fit_workers(plan: Plan) -> Plan:
    """Use no more workers than the tightest limit has slots, so that each can always send."""
    limits = [(phase.concurrency, phase.prefill_concurrency) for phase in plan.phases]
    slots = [limit for pair in limits for limit in pair if limit]
    return msgspec.structs.replace(plan, workers=max(1, min([plan.workers, *slots])))


def _roles(plan: Plan, host: PluginHost, worker_ids: tuple[str, ...]) -> list[RoleSpec]:
    """Return the roles of a run: the service plugins that start by themselves, workers counted."""
    return [
        RoleSpec(
            service_type=spec.name,
            target=spec.target,
            count=plan.workers if spec.name == "worker" else 1,
            required=bool(spec.metadata.get("required", False)),
            ids=worker_ids if spec.name == "worker" else (),
        )
        for spec in host.specs("service")
        if spec.enabled and spec.metadata.get("auto_start", False)
    ]


def _execute(
    plan: Plan, host: PluginHost, hooks: PhaseHooks, live: LiveView, stack: ExitStack
) -> RunController:
    """Fork the roles, then follow the run on an event loop of its own."""
    directory = Path(plan.artifact_dir)
    deaths: list[Callable[[ServiceDeath], None]] = []

    def on_death(death: ServiceDeath) -> None:
        for listener in deaths:
            listener(death)

    remote = _remote(plan, live)
    # One controller to a run: threads of the journal come after the fork.
    supervisor = Supervisor(
        "inline" if plan.run_type == "inline" else "process",
        _roles(plan, host, remote.worker_ids if remote is not None else ()),
        run_dir=directory,
        on_death=on_death,
        host=host,
        log_level=plan.log_level,
        remote=remote.spec if remote is not None else None,
    )
    try:
        with held_signals():
            supervisor.fork()
        log = log_path(directory)
        stack.enter_context(logging_to(log, supervisor.controller_id, plan.log_level))
        clock = SystemClock()
        with JournalWriter(
            journal_directory(directory), CONTROLLER_STREAM, run_id=plan.run_id, clock=clock
        ) as journal:
            journal.event("bench.run.started", _opening(plan))
            if remote is not None:
                remote.tell(journal)
            controller = RunController(plan, journal, hooks, live)
            deaths.append(controller.service_died)
            _run_loop(partial(controller.run, supervisor))
    finally:
        supervisor.kill()
    return controller


def _remote(plan: Plan, live: LiveView) -> "RemoteSetup | None":
    if plan.remote is None:
        return None
    from steelyard.app.remote_setup import RemoteSetup  # few runs have them

    return RemoteSetup(plan, live.note)


def _opening(plan: Plan) -> dict[str, object]:
    from steelyard import __version__

    host = host_facts()
    return {
        "plan": msgspec.to_builtins(plan),
        "host": host,
        "steelyard_version": __version__,
        "calibration": _calibration(host),
    }


def _calibration(host: dict[str, object]) -> object:
    """Return this host's calibration; a text says why it can't be used, None that there is none.

    It goes into the journal, so that a report made later or elsewhere gives the same error bars.
    """
    state = state_directory(os.environ)
    try:
        found = load_calibration(state, host)
    except FileError as error:
        return str(error)
    return msgspec.to_builtins(found) if found else outdated_calibration(state, host) or None


def _run_loop(main: Callable[[], object]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main())  # type: ignore[arg-type]
        except asyncio.CancelledError:  # a SIGTERM before the run began
            raise KeyboardInterrupt from None


def _measured(report: ReportBuilt) -> bool:
    """Return True when at least one request was recorded."""
    return bool(report.summary.get("run", {}).get("journal", {}).get("records"))


def _outcome(plan: Plan, status: str, report: ReportBuilt, telling: "Telling | None") -> Outcome:
    from steelyard.app.report import verdict_exit_code

    summary = msgspec.convert(report.summary, Summary)
    exit_code = EXIT_INTERRUPTED if status == "cancelled" else verdict_exit_code(summary, plan)
    return Outcome(plan, summary, report.files, report.failures, exit_code, telling)
