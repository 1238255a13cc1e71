"""Tasks submitted and waited for in one call, with a coordinator that lives as long as they do."""

import asyncio
from collections.abc import Iterable, Mapping

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.submitting import Submission
from steelyard.domain.fleet.model import Task, TaskSpec
from steelyard.runtime.plugin_host import PluginHost

Results = Mapping[str, Task]


async def submit(
    specs: Iterable[TaskSpec],
    settings: FleetSettings | None = None,
    *,
    host: PluginHost | None = None,
    timeout_s: float | None = None,
) -> tuple[list[Submission], Results]:
    """Submit tasks to a coordinator of their own, and wait until each has ended.

    Args:
        specs: the tasks.
        settings: of the coordinator; this machine's workers by default.
        host: the plugin host; this process's own by default.
        timeout_s: how long to wait; without end when None.

    Returns:
        what became of each submission, and the tasks as they ended, by id.

    Raises:
        TimeoutError: some have not ended in time; the next coordinator on the ledger goes on.
        SteelyardError: as `Coordinator.start` and `Coordinator.submit`.
    """
    async with Coordinator(settings, host=host) as fleet, asyncio.timeout(timeout_s):
        submitted = await fleet.submit(specs)
        names = [each.task_id for each in submitted if each.accepted]
        return submitted, await fleet.ended(names)
