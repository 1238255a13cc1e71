"""The system controller: brings the roles up, follows the run, and sees that it is written down.

Whatever dies on the way, the run ends with a summary: what is lost decides only whether load goes
on (another worker), the run ends early (records or timing), or this process writes the report.
"""

import asyncio
import contextlib
import logging
import signal
import threading
from contextlib import suppress
from typing import Any

import msgspec

from steelyard.app.guarded_ui import GuardedUi
from steelyard.app.live_view import LiveView
from steelyard.app.signals import ReportGivenUpError
from steelyard.domain.bench.messages import (
    AllPhasesDone,
    BuildReport,
    ConfigureRun,
    DatasetProgress,
    FlushRecords,
    GiveUp,
    HandOverRecords,
    PhaseCompleted,
    PhaseSendingComplete,
    PhaseStarted,
    PhaseStats,
    PhaseTimeout,
    ReportBuilt,
    StopReport,
    StopRun,
)
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.story import PLUGIN_FAILED
from steelyard.kernel.errors import SteelyardError, exit_code_of
from steelyard.runtime.bus_port import BusPort, describe_error
from steelyard.runtime.callback_errors import watch_callbacks
from steelyard.runtime.journal import JournalWriter
from steelyard.runtime.phase_hooks import PhaseHooks
from steelyard.runtime.supervisor import ServiceDeath, Supervisor

_log = logging.getLogger("steelyard.run")

FLUSH_TIMEOUT_S = 20.0
HAND_OVER_TIMEOUT_S = 10.0
REPORT_TIMEOUT_S = 600.0
GIVE_UP_S = 5.0
"""How long a report that was given up may take to tidy up."""
SIGNAL_WITHIN_S = 0.2
"""How long after a role has heard of a signal to all of us this process does."""
_PHASE_EVENTS = {
    PhaseStarted: ("bench.phase.started", "on_phase_start"),
    PhaseSendingComplete: ("bench.phase.sending_complete", "on_phase_sending_complete"),
    PhaseCompleted: ("bench.phase.completed", "on_phase_complete"),
    PhaseTimeout: ("bench.phase.timeout", "on_phase_timeout"),
}


class _Tracker:
    """What phase hooks look at: the stats that came with the event."""

    def __init__(self, stats: PhaseStats) -> None:
        self._stats = stats

    def create_stats(self) -> PhaseStats:
        return self._stats


class RunController:
    """Follows one run from the first command to the last file.

    Args:
        plan: what to run.
        journal: the controller's own stream.
        hooks: told of each phase's events.
        live: shows progress; it may be told nothing (`--ui none`).
    """

    def __init__(
        self, plan: Plan, journal: JournalWriter, hooks: PhaseHooks, live: LiveView
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._hooks = hooks
        self._live = live
        self._over = asyncio.Event()
        self._entries_complete = False
        self._supervisor: Supervisor | None = None
        self._lost: list[ServiceDeath] = []
        self._interrupts = 0
        self._presses_left: int | None = None
        self._given_up = asyncio.Event()
        self._broken = False
        self._reason = ""
        self.status = "completed"
        self.failure: SteelyardError | None = None
        self.report: ReportBuilt | None = None

    @property
    def _bus(self) -> BusPort:
        if self._supervisor is None:
            message = "the run has no supervisor yet"
            raise RuntimeError(message)
        return self._supervisor.bus

    async def run(self, supervisor: Supervisor) -> None:
        """Live through the run. `status`, `failure` and `report` say how it ended."""
        self._supervisor = supervisor
        watch_callbacks(self._callback_failed)
        loop = asyncio.get_running_loop()
        myself = asyncio.current_task()
        if self._signals() and myself is not None:
            # As the loop has it for SIGINT: while roles start there is nothing to write down.
            loop.add_signal_handler(signal.SIGTERM, myself.cancel)
        try:
            await supervisor.start()
            for number in self._signals():
                loop.add_signal_handler(number, self._interrupted, number)
            self._subscribe()
            _log.info("the roles are up: %s", ", ".join(supervisor.services))
            await supervisor.configure_all(ConfigureRun(msgspec.to_builtins(self._plan)))
            await supervisor.start_all()
            await self._follow()
            await self._write_down()
        finally:
            for number in self._signals():
                loop.remove_signal_handler(number)
            await supervisor.stop()

    @staticmethod
    def _signals() -> tuple[signal.Signals, ...]:
        """Return the signals that end a run; a run beside somebody else's main thread has none."""
        in_charge = threading.current_thread() is threading.main_thread()
        return (signal.SIGINT, signal.SIGTERM) if in_charge else ()

    def _subscribe(self) -> None:
        for message_type in _PHASE_EVENTS:
            self._bus.subscribe(message_type, self._phase_event)
        self._bus.subscribe(AllPhasesDone, self._all_done)
        self._bus.subscribe(GiveUp, self._give_up)
        self._bus.subscribe(DatasetProgress, self._dataset_progress)
        self._live.subscribe(self._bus)

    async def _follow(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._live.interval_s)
            self._live.show()

    # --- what happens --------------------------------------------------------------------------

    async def _phase_event(self, message: Any) -> None:
        event, hook = _PHASE_EVENTS[type(message)]
        self._journal.event(event, msgspec.to_builtins(message))
        self._journal.flush()
        _log.info("%s: %s", event, message.stats)
        self._live.phase(message.stats)
        await self._hooks.fire(hook, message.stats.phase, _Tracker(message.stats))

    async def _all_done(self, message: AllPhasesDone) -> None:
        if message.cancelled and self.status == "completed":
            self.status = "cancelled" if self._interrupts else "failed"
        self._over.set()

    async def _give_up(self, message: GiveUp) -> None:
        """End the run early, with all that was measured; the first reason counts."""
        if self._reason:
            return
        self._reason = message.reason
        _log.error("the run can't go on: %s", message.reason)
        self._live.note(f"ending early: {message.reason}")
        self._bus.post("timing_manager", StopRun(drain=True))

    async def _dataset_progress(self, message: DatasetProgress) -> None:
        self._entries_complete = self._entries_complete or message.complete
        if message.error:
            failure = SteelyardError(message.error)
            failure.exit_code = message.exit_code
            self._end_early(failure)

    def service_died(self, death: ServiceDeath) -> None:
        """Note the loss; end the run when it can't go on without that role."""
        self._lost.append(death)
        payload: dict[str, Any] = {
            "service_id": death.service_id,
            "service_type": death.service_type,
            "reason": death.reason,
            "mono_ns": death.mono_ns,
        }
        if death.host:
            payload["host"] = death.host
        self._journal.event("bench.service.lost", payload)
        self._journal.flush()
        who = f"{death.service_id} on {death.host}" if death.host else death.service_id
        _log.error("lost %s: %s", who, death.reason)
        self._live.note(f"lost {who}: {death.reason}")
        needed = {"records_manager", "timing_manager"}
        if not self._entries_complete:
            needed.add("dataset_manager")
        if not self._live.begun:
            needed.add("worker_manager")
        if death.service_type in needed:
            self._end_early(None)

    def _callback_failed(self, error: Exception) -> bool:
        """End the run because of an exception in a callback of this process that is no role's."""
        if self._broken:
            return False
        self._broken = True
        text = f"the controller failed: {describe_error(error)}"
        _log.error("%s", text, exc_info=error)
        self._live.note(text)
        self._reason = self._reason or text
        failure = SteelyardError(text)
        failure.exit_code = exit_code_of(error)
        self._end_early(failure)
        return True

    def _end_early(self, failure: SteelyardError | None) -> None:
        if failure is not None and self.failure is None:
            _log.error("the run can't go on: %s", failure)
        self.status = "failed"
        self.failure = self.failure or failure
        self._over.set()

    def _interrupted(self, number: int) -> None:
        """First Ctrl-C: send nothing new and drain; second: cancel; third: write down at once.

        While the report is made: give it up. One that a person's own stop has led to is not lost
        to a second press that comes late.
        """
        if self._presses_left is not None:
            self._presses_left -= 1 if number == signal.SIGINT else 2
            if self._presses_left > 0:
                self._live.note("writing the report (Ctrl-C again to give it up)")
            else:
                self._given_up.set()
            return
        self._interrupts += 1 if number == signal.SIGINT else 2
        self.status = "cancelled"
        if self._interrupts >= 3:
            self._over.set()
            return
        drain = self._interrupts == 1
        self._live.stopping(drain=drain)
        self._bus.post("timing_manager", StopRun(drain=drain))

    # --- the end -------------------------------------------------------------------------------

    def _alive(self, service_type: str) -> list[str]:
        dead = {death.service_id for death in self._lost}
        peers = self._supervisor.peers if self._supervisor else ()
        ids = [peer.service_id for peer in peers if peer.service_type == service_type]
        return [service_id for service_id in ids if service_id not in dead]

    async def _write_down(self) -> None:
        """Collect the records, close the journal, have the report built."""
        workers = self._alive("worker")
        await asyncio.gather(
            *(self._ask(worker, HandOverRecords(), HAND_OVER_TIMEOUT_S) for worker in workers)
        )
        if self._alive("records_manager"):
            await self._ask("records_manager", FlushRecords(), FLUSH_TIMEOUT_S)
            self._live.show()  # the figures of the whole phase stay on the screen
        self._note_plugins()
        ended = {"status": self.status} | ({"reason": self._reason} if self._reason else {})
        self._journal.event("bench.run.ended", ended)
        _log.info("the run is over: %s", self.status)
        await asyncio.to_thread(self._journal.sync)
        if self._alive("post_processor_manager"):
            await self._have_report_built()

    def _note_plugins(self) -> None:
        """Write down which plugins of this process failed, and how often: the report says so."""
        counts = self._hooks.counts
        if isinstance(self._live.ui, GuardedUi):
            counts[self._live.ui.label] = self._live.ui.counts
        for plugin, each in counts.items():
            if each.failures:
                self._journal.event(PLUGIN_FAILED, {
                    "plugin": plugin, "failures": each.failures, "error": each.last_error,
                    "quarantined": each.quarantined,
                })  # fmt: skip

    async def _have_report_built(self) -> None:
        """Wait for the report, or for a person who does not.

        Raises:
            ReportGivenUpError: a signal came.
        """
        directory = self._plan.artifact_dir
        self._presses_left = 2 if self._interrupts else 1
        self._live.doing("reading the journal")
        asked = asyncio.ensure_future(
            self._ask("post_processor_manager", BuildReport(directory), REPORT_TIMEOUT_S)
        )
        gave_up = asyncio.ensure_future(self._given_up.wait())
        await asyncio.wait((asked, gave_up), return_when=asyncio.FIRST_COMPLETED)
        gave_up.cancel()
        if not asked.done():
            self._bus.post("post_processor_manager", StopReport())
            await asyncio.wait((asked,), timeout=GIVE_UP_S)
            asked.cancel()
            raise ReportGivenUpError(directory)
        answer = asked.result()
        self.report = answer if isinstance(answer, ReportBuilt) else None
        if self.report is None and await self._is_told_too():
            raise ReportGivenUpError(directory)

    async def _is_told_too(self) -> bool:
        """Tell whether a signal came: one to the whole group may end a role before it is here."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._given_up.wait(), SIGNAL_WITHIN_S)
        return self._given_up.is_set()

    async def _ask(
        self, target: str, message: msgspec.Struct, timeout_s: float
    ) -> msgspec.Struct | None:
        """Command a role; a role that fails here costs its answer, never the run's summary."""
        try:
            return await self._bus.command(target, message, timeout_s=timeout_s)
        except SteelyardError as error:
            self._live.note(str(error))
            self._journal.event("bench.command.failed", {"target": target, "error": str(error)})
            return None
