"""Who watches a coordinator: measures, log, traces. Each sees commits, none holds them up."""

import asyncio
from collections.abc import Mapping
from typing import Any

from steelyard import __version__
from steelyard.app.fleet.event_log import log_events
from steelyard.app.fleet.hooks import Announcer
from steelyard.app.fleet.measures import Measures, WatchedLedger, Watcher
from steelyard.app.fleet.metrics import RATED, FleetMetrics, Rates, of_book
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.traces import TaskTraces, traced
from steelyard.domain.fleet.ports import Engine, Scheduler
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import UsageError
from steelyard.plugins.hooks import HookTable
from steelyard.runtime.fleet.driver import FleetDriver
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ports import Happened

TRACES_PATH = "/v1/traces"


class Observers:
    """Watches over all reigns of a coordinator.

    Args:
        settings: say whether there are traces, and lines of the log.
        name: of the coordinator.
        clock: to measure with.

    Attributes:
        measures: what was measured.
        rates: what happened, by name.

    Raises:
        UsageError: the collector's URL can't be one.
        PluginError: there are to be traces, and the extra `otel` is not installed.
    """

    def __init__(self, settings: FleetSettings, name: str, clock: Clock) -> None:
        self.measures = Measures()
        self.rates = Rates(clock.wall_ns())
        self._clock = clock
        self._traces = _traces(settings, name)
        self._watchers: list[Watcher] = [self.measures.saw]
        if settings.log_events:
            self._watchers.append(log_events)
        if self._traces is not None:
            self._watchers.append(self._traces.saw)

    def start(self, queries: LedgerQueries) -> None:
        """Begin; traces are read up by `queries`."""
        if self._traces is not None:
            self._traces.start(queries)

    async def stop(self) -> None:
        """Send the last traces, for a while at most."""
        if self._traces is not None:
            await asyncio.to_thread(self._traces.stop)

    def heard(self, item: Happened) -> None:
        """Take note of what happened."""
        self.rates.count(item.name, item.at_ns)

    def ledger(self, place: str) -> WatchedLedger:
        """Open a ledger whose commits are seen; raises as `SqlLedger` does."""
        return WatchedLedger(place, self._clock, self._watchers)

    def traced(self, engines: Mapping[str, Engine]) -> dict[str, Engine]:
        """Return engines whose attempts know where in a trace they stand, if there are traces."""
        return traced(engines, self._traces)

    def metrics(self, announcer: Announcer, hooks: HookTable, now_ns: int) -> FleetMetrics:
        """Return what counts whether this coordinator leads or not."""
        per_second = {name: self.rates.per_second(hook, now_ns) for name, hook in RATED.items()}
        plugins = {
            name: {"calls": c.calls, "failures": c.failures, "seconds": c.seconds}
            for name, c in hooks.counts.items()
        }
        return FleetMetrics(
            leads=False, events=dict(self.rates.totals), per_second=per_second, plugins=plugins,
            waiting_events=announcer.waiting, untold=announcer.untold,
            attempts=dict(self.measures.attempts), durations=self.measures.distributions(),
            traces=dict(self._traces.counts) if self._traces is not None else {},
        )  # fmt: skip


def of_reign(driver: FleetDriver, chooser: Scheduler, scheduler: str) -> dict[str, Any]:
    """Return the fields of `FleetMetrics` that only a leader knows."""
    return {
        "leads": True, **of_book(driver.fleet.book, driver.now_ns()), "scheduler": scheduler,
        "scheduler_metrics": dict(chooser.metrics()),
    }  # fmt: skip


def _traces(settings: FleetSettings, name: str) -> TaskTraces | None:
    if not settings.otel_url:
        return None
    from steelyard.app.config.otel import collector_url
    from steelyard.runtime.otel.spans import SpanSender

    try:
        url = collector_url(settings.otel_url, TRACES_PATH)
    except ValueError as error:
        raise UsageError(
            "The collector's URL can't be used", got=settings.otel_url, expected=str(error)
        ) from None
    resource = {
        "service.name": "steelyard-fleet", "service.instance.id": name,
        "service.version": __version__,
    }  # fmt: skip
    return TaskTraces(SpanSender(url, resource))
