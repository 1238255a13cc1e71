"""One time of leading: from the lease in the ledger until it is lost or given back."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from steelyard.app.fleet.observing import Observers
from steelyard.app.fleet.parts import Parts
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.tidying import Tidier
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.ports import Engine, Scheduler
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import JournalError, SteelyardError
from steelyard.runtime.fleet.driver import FleetDriver, Listener
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_inbox import Inbox, drain
from steelyard.runtime.fleet.ledger_leadership import Leadership, keep_leading
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_relay import Relay
from steelyard.runtime.uninterrupted import to_its_end

STOPPING = "the coordinator stops"
RUN_ID = "fleet"
"""What the journal of a fleet is the run of: one, however many coordinators write it in turn."""
JOURNAL_AGAIN_S = 5.0

_log = logging.getLogger("steelyard.fleet")


class Reign:
    """A machine, its driver, and what runs beside it while this coordinator leads.

    Attributes:
        driver: the loop; `driver.fleet.book` is who is where.
        engines: by name.
        tidier: removes what is kept no longer.
    """

    def __init__(
        self,
        driver: FleetDriver,
        engines: dict[str, Engine],
        tidier: Tidier,
        jobs: list[Coroutine[Any, Any, None]],
    ) -> None:
        self.driver, self.engines, self.tidier = driver, engines, tidier
        self._jobs = [asyncio.create_task(job) for job in (driver.run(), *jobs)]

    async def begins(self, owner: str) -> None:
        """Wait until every engine has begun.

        Raises:
            SteelyardError: what `lasts` raises; or an engine can't begin.
        """
        first = asyncio.create_task(self._begin(owner))
        try:
            await asyncio.wait({first, *self._jobs}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            first.cancel()
            await to_its_end(self.end())
            raise
        if not first.done() or first.exception() is not None:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            await self.lasts()

    async def _begin(self, owner: str) -> None:
        await self.driver.note(str(FleetHook.COORDINATOR_STARTUP), {"coordinator": owner})
        await self.driver.ready.wait()

    async def lasts(self) -> None:
        """Wait for the end of the reign.

        Raises:
            LostLeadershipError: another coordinator leads.
            FileError, LedgerGoneError: the ledger can't be written.
        """
        try:
            done, _ = await asyncio.wait(self._jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        except SteelyardError as error:  # perhaps of another job than the driver's
            self.driver.ends_by(error)
            raise
        finally:
            await self.end()

    async def abdicate(self, within_s: float) -> None:
        """Send the workers home: their tasks go back unblamed. Then stop the engines.

        Plugins hear of the shutdown when all of that is done and told: it is the last they hear.

        Args:
            within_s: how long the ledger may take before, and how long after that.

        Raises:
            TimeoutError: it took longer.
            SteelyardError: this coordinator leads no more, or the ledger can't be written.
        """
        await asyncio.wait_for(self.driver.send_home(STOPPING), within_s)
        await self.driver.stop_engines()
        last = self.driver.finish(str(FleetHook.COORDINATOR_SHUTDOWN), {"coordinator": ""})
        await asyncio.wait_for(last, within_s)

    async def end(self) -> None:
        """End all of it; what runs is ended by its engine."""
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)


async def begin(
    settings: FleetSettings,
    parts: Parts,
    ledger: SqlLedger,
    leadership: Leadership,
    clock: Clock,
    listener: Listener,
    scheduler: tuple[Scheduler, str],
    observers: Observers,
) -> Reign:
    """Go on from the ledger; returns once every engine has begun.

    Raises:
        SteelyardError: an engine can't begin, or the ledger or the journal can't be used.
    """
    kept = await asyncio.to_thread(ledger.load)
    last_ns = await asyncio.to_thread(LedgerQueries(ledger.database).last_event_ns)
    fleet = Fleet(settings.limits)
    engines: dict[str, Engine] = parts.engines()
    driver = FleetDriver(
        fleet, ledger, scheduler[0], observers.traced(engines), listener, clock,
        scheduler_name=scheduler[1], passed=observers.measures.scheduling_pass.observe,
    )  # fmt: skip
    observers.measures.begin(kept.next_token)
    await driver.restore(kept)
    jobs: list[Coroutine[Any, Any, None]] = [
        keep_leading(leadership),
        drain(Inbox(ledger, driver.now_ns), ledger, driver),
    ]
    if settings.journal:
        jobs.append(_publish(settings, ledger, clock))
    place = Path(settings.directory)
    tidier = Tidier(
        settings.keep, place, ledger, driver.tell,
        # Neither a clock that was set ahead since nor one that was set back since makes things old.
        lambda: min(driver.now_ns(), clock.wall_ns()), last_ns=last_ns, journal=settings.journal,
        engines=engines,
    )  # fmt: skip
    jobs.append(tidier.run())
    reign = Reign(driver, engines, tidier, jobs)
    await reign.begins(leadership.owner)
    return reign


async def _publish(settings: FleetSettings, ledger: SqlLedger, clock: Clock) -> None:
    """Publish into the journal. One that can't be written keeps nothing else from going on."""
    directory = Path(settings.directory) / "journal"
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            relay = await asyncio.to_thread(Relay, ledger, directory, RUN_ID, clock)
            with contextlib.closing(relay):
                await relay.run()
        except (JournalError, OSError) as error:
            _log.error("What happens is not in the journal for now: %s", error)
            await asyncio.sleep(JOURNAL_AGAIN_S)
