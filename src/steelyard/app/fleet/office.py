"""The seat of a fleet's leader: waited for, held, lost, and taken again."""

import asyncio
import logging
import secrets
from typing import Any

from steelyard.app.fleet.observing import Observers
from steelyard.app.fleet.parts import Parts
from steelyard.app.fleet.reign import Reign, begin
from steelyard.app.fleet.settings import FleetSettings
from steelyard.domain.fleet.events import CancelAsked, DrainAsked, Refused, Submitted
from steelyard.domain.fleet.ports import Scheduler
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.fleet.driver import FleetDriver, Listener
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_inbox import Inbox
from steelyard.runtime.fleet.ledger_leadership import Candidate, Leadership
from steelyard.runtime.fleet.ports import LostLeadershipError

AGAIN_S = 2.0
"""How long a coordinator whose ledger or engine failed waits before it tries to lead again."""
HANDED_ON_S = 30.0
"""How long one that does not lead waits for the answer of the one that does."""
PATIENCE = 1.5
"""Leases of a leader that one which does not stand by waits for its end."""

_log = logging.getLogger("steelyard.fleet")


class Office:
    """Leads as often as it is this coordinator's turn, from `open` to `close`.

    Args:
        settings: ledger and engines.
        parts: makes the engines and schedulers of each reign.
        name: names the coordinator in the ledger.
        clock: of machine and ledger.
        listener: is told of everything that happens.
        observers: see what is committed.

    Attributes:
        reign: the present one; None while this coordinator does not lead.
        scheduler: its name and options.
        chooser: the scheduler itself, once this coordinator has led.
    """

    def __init__(
        self,
        settings: FleetSettings,
        parts: Parts,
        name: str,
        clock: Clock,
        listener: Listener,
        observers: Observers,
    ) -> None:
        self.reign: Reign | None = None
        self.scheduler: tuple[str, dict[str, Any]] = (
            settings.scheduler, dict(settings.scheduler_options),
        )  # fmt: skip
        self.chooser: Scheduler | None = None
        self._settings, self._parts, self._name = settings, parts, name
        self._clock, self._listener, self._observers = clock, listener, observers
        self._began = asyncio.Event()
        self._open: SqlLedger | None = None
        self._life: asyncio.Task[None] | None = None
        self._trouble: SteelyardError | None = None
        self._leaving = asyncio.Event()

    @property
    def ledger(self) -> SqlLedger:
        """The ledger, while the office is open.

        Raises:
            SteelyardError: it is not.
        """
        if self._open is None:
            raise SteelyardError("This coordinator is not running", next_step="Start it.")
        return self._open

    @property
    def driver(self) -> FleetDriver:
        """The loop of the present reign.

        Raises:
            LostLeadershipError: this coordinator does not lead.
            SteelyardError: it would, but for this.
        """
        if self.reign is None and self._trouble is not None:
            raise self._trouble.with_traceback(None)
        if self.reign is None:
            raise LostLeadershipError(
                "This coordinator does not lead", next_step="Ask the one that does."
            )
        return self.reign.driver

    async def use_scheduler(self, name: str, options: dict[str, Any]) -> None:
        """Go on with another scheduler, now and in later reigns.

        Raises:
            PluginError, ConfigError: it can't be used.
            LostLeadershipError: this coordinator does not lead.
            FileError, LedgerGoneError: the ledger can't be read.
        """
        chosen, driver = self._parts.scheduler(name, options), self.driver
        await driver.use_scheduler(chosen, name)
        self.scheduler, self.chooser = (name, options), chosen

    async def open(self) -> None:
        """Open the ledger.

        Raises:
            UsageError: it was opened before, or no ledger can be there.
            FileError, LedgerGoneError: the ledger can't be used.
            PluginError, ConfigError: the scheduler can't be used.
        """
        if self._life is not None or self._open is not None:
            raise UsageError("This coordinator was started before", next_step="Make another one.")
        self._parts.scheduler(*self.scheduler)  # a wrong one is told before anything is made
        self._open = await asyncio.to_thread(self._observers.ledger, self._settings.ledger)

    async def hold(self) -> None:
        """Lead, or stand by; returns once either is so.

        Raises:
            LostLeadershipError: another coordinator leads, and this one does not stand by.
            SteelyardError: an engine can't begin, or the ledger can't be used.
        """
        self._life = asyncio.create_task(self._live(), name="fleet-life")
        began = asyncio.create_task(self._began.wait())
        await asyncio.wait({began, self._life}, return_when=asyncio.FIRST_COMPLETED)
        began.cancel()
        if self._life.done():
            self._life.result()

    async def wait(self) -> None:
        """Wait until nothing more is done here; raises why, if that was not asked for."""
        if self._life is not None:
            await asyncio.wait({self._life})
            if not self._life.cancelled():
                self._life.result()

    def check(self) -> None:
        """Raise why nothing more is done here, if that is so."""
        if self._life is None or self._life.done():
            if self._life is not None and not self._life.cancelled():
                self._life.result()
            raise SteelyardError("The coordinator has stopped")

    async def leave(self) -> None:
        """End the reign, if there is one, in good order."""
        self._leaving.set()
        reign = self.reign
        if reign is not None:
            try:
                await reign.abdicate(self._settings.stop_s)
            except (SteelyardError, TimeoutError) as error:
                _log.warning("The end of the fleet's coordinator could not be noted: %s", error)
        leadership = self._open.leadership if self._open is not None else None
        if self._life is not None:
            self._life.cancel()
            await asyncio.gather(self._life, return_exceptions=True)
        if leadership is not None:
            await asyncio.to_thread(_resign, leadership)

    def close(self) -> None:
        """Close the ledger."""
        if self._open is not None:
            self._open.close()
            self._open = None

    async def tell(self, event: Submitted | CancelAsked | DrainAsked) -> tuple[Refused, ...]:
        """Tell the machine, or by the ledger the coordinator that leads.

        Raises:
            LostLeadershipError: another coordinator leads and this one does not stand by; or none
                leads for a while.
            FileError, LedgerGoneError: the ledger can't be written.
        """
        if self.reign is not None or not self._settings.stand_by:
            return await self.driver.tell(event)
        inbox = Inbox(self.ledger, self._clock.wall_ns)
        try:
            return await asyncio.wait_for(inbox.tell(secrets.token_hex(16), event), HANDED_ON_S)
        except TimeoutError:
            raise LostLeadershipError(
                "No coordinator leads at present; what was asked lies in the ledger",
                next_step="Ask again later: what was taken is not taken twice.",
            ) from None

    async def _live(self) -> None:
        while not self._leaving.is_set():
            try:
                await self._reign()
            except LostLeadershipError as error:
                if not self._settings.stand_by:
                    raise
                _log.warning("%s", error)
            except SteelyardError as error:
                if not self._began.is_set():
                    raise
                if self._leaving.is_set():  # a job had something to tell the loop after its end
                    return
                if str(error) != str(self._trouble):
                    _log.error("%s Trying again every %g s.", error, AGAIN_S)
                self._trouble = error
                await asyncio.sleep(AGAIN_S)

    async def _reign(self) -> None:
        leadership = await self._lease()
        try:
            await self._lead(leadership)
        finally:
            self.reign = None

    async def _lead(self, leadership: Leadership) -> None:
        name, options = self.scheduler
        self.chooser = self._parts.scheduler(name, options)
        reign = await begin(
            self._settings, self._parts, self.ledger, leadership, self._clock, self._listener,
            (self.chooser, name), self._observers,
        )  # fmt: skip
        self.reign, self._trouble = reign, None
        self._began.set()
        await reign.lasts()

    async def _lease(self) -> Leadership:
        """Wait for the turn to lead."""
        candidate = Candidate(self.ledger.database, self._name, self._settings.leader_ttl_s)
        loop = asyncio.get_running_loop()
        patience_s = self._settings.leader_ttl_s * PATIENCE
        until_s, told = loop.time() + patience_s, ""
        while (leadership := await asyncio.to_thread(candidate.try_lead)) is None:
            what = f"Another coordinator leads the fleet of {self.ledger.database.shown}"
            if told != candidate.leader:
                told = candidate.leader
                does = "stands by" if self._settings.stand_by else f"waits {patience_s:.2g} s"
                _log.warning("%s (%s); this one %s for its end", what, told, does)
            if self._settings.stand_by:
                self._began.set()
            elif loop.time() > until_s:
                raise LostLeadershipError(
                    what, got=told,
                    next_step="Stop it, or have this one wait for its end: --stand-by",
                )  # fmt: skip
            await asyncio.sleep(candidate.look_s)
        self.ledger.leadership = leadership
        return leadership


def _resign(leadership: Leadership) -> None:
    try:
        leadership.resign()
    except SteelyardError as error:
        _log.warning("The lead was not given back: %s", error)
