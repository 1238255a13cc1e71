"""A plugin host with a fleet's parts that need nothing: an engine that is done at once."""

import asyncio

from fleet_rig import FirstCome, InstantEngine

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.domain.fleet.attempts import Work, plain_outcome
from steelyard.domain.fleet.model import Limits, TaskSpec
from steelyard.runtime.plugin_host import PluginHost


class Plain:
    """A task kind that fills in nothing."""

    def prepare(self, spec, earlier):
        return (spec,)

    def work(self, spec, directory):
        return Work(argv=("/bin/true",))

    def outcome(self, spec, ran):
        return plain_outcome(ran)


LastCome = type("LastCome", (FirstCome,), {})
"""Another scheduler, to change to."""


def fleet_host(engine=None, *dirs):
    """Return a host; `engine` is what every reign gets, a new `InstantEngine` when None."""
    host = PluginHost.standard(dirs) if dirs else PluginHost()
    made = (lambda: engine) if engine is not None else InstantEngine

    class Instant(InstantEngine):
        def __new__(cls):
            return made()

    host.register("engine", "instant", Instant)
    host.register("scheduler", "first", FirstCome, description="first come, first served")
    host.register("scheduler", "last", LastCome)
    if "command" not in host.names("task_kind"):
        host.register("task_kind", "command", Plain)
    return host


PATIENT = Limits(silent_s=300.0, lost_s=600.0)
"""An `InstantEngine` sends no heartbeats: a slow machine would be taken for a worker that hangs."""


def coordinator(directory, engine=None, host=None, **more):
    """Return a coordinator on a SQLite ledger below `directory`."""
    settings = FleetSettings(
        ledger=str(directory / "fleet.sqlite"),
        directory=str(directory / "files"),
        engines={"instant": {}},
        scheduler="first",
        **{"limits": PATIENT} | more,
    )
    return Coordinator(settings, host=host or fleet_host(engine))


def spec(task_id, **more):
    """Return a task of kind `command`."""
    more = {"kind": "command", "payload": {"argv": ["/bin/true"]}} | more
    return TaskSpec(task_id=task_id, **more)


async def until(condition, within_s=60.0):
    """Wait until an async or sync condition holds."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.01)
