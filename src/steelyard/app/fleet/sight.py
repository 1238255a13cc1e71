"""What of a fleet's events somebody sees who is for some projects only.

Of a task they see all, where it is of their projects, and nothing else. Workers work for everybody:
that they come and go is seen, but not which other tasks that cost, nor any words about it. Events
that users fired are seen with the task that they name, or not at all.
"""

import asyncio
from collections.abc import Collection, Sequence

import msgspec

from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Worker
from steelyard.runtime.fleet.ledger_queries import PAGE_MAX, LedgerQueries, Told

_EVERYBODYS = frozenset({
    FleetHook.COORDINATOR_STARTUP, FleetHook.COORDINATOR_SHUTDOWN, FleetHook.WORKER_REGISTERED,
    FleetHook.WORKER_DISCONNECTED, FleetHook.WORKER_RECOVERED, FleetHook.WORKER_FAILED,
})  # fmt: skip
_RECOVERIES = frozenset({
    FleetHook.RECOVERY_STARTED, FleetHook.RECOVERY_COMPLETED, FleetHook.RECOVERY_FAILED,
})  # fmt: skip


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events, in order.

    Attributes:
        next: the number of the last event that was looked at: what asks for those after.
    """

    items: tuple[Told, ...]
    next: int


async def event_page(
    queries: LedgerQueries, after: int, limit: int, task_id: str, projects: Collection[str]
) -> EventPage:
    """Return what happened after an event; of some projects only, where any are named."""
    return await asyncio.to_thread(_page, queries, after, limit, task_id, projects)


def _page(
    queries: LedgerQueries, after: int, limit: int, task_id: str, projects: Collection[str]
) -> EventPage:
    last = queries.last_event()  # asked first: what is there by now is in the page
    found = queries.events(after, limit, task_id, projects)
    is_whole = len(found) < max(1, min(limit, PAGE_MAX))
    place = max(last if is_whole else 0, found[-1].seq if found else after, after)
    return EventPage(items=_seen(found, queries, projects), next=place)


def _seen(
    found: Sequence[Told], queries: LedgerQueries, projects: Collection[str]
) -> tuple[Told, ...]:
    if not projects:
        return tuple(found)
    names = [name for told in found if told.name in _RECOVERIES for name in _task_ids(told)]
    own = queries.of_projects(names, projects) if names else frozenset()
    return tuple(told for event in found if (told := _narrowed(event, own)) is not None)


def _narrowed(told: Told, own: Collection[str]) -> Told | None:
    """Return an event without what is others'; None where nothing is left."""
    if told.arguments.get("task_id"):
        return told  # the ledger was asked for those of the projects only
    arguments = {name: value for name, value in told.arguments.items() if name != "error"}
    if told.name in _EVERYBODYS:
        return msgspec.structs.replace(told, arguments=arguments)
    seen = [name for name in _task_ids(told) if name in own]
    if told.name not in _RECOVERIES or not seen:
        return None
    return msgspec.structs.replace(told, arguments=arguments | {"task_ids": seen})


def _task_ids(told: Told) -> list[str]:
    names = told.arguments.get("task_ids", ())
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


async def workers_seen(
    queries: LedgerQueries, workers: Sequence[Worker], projects: Collection[str]
) -> tuple[Worker, ...]:
    """Return workers whose leases name only tasks of some projects; of all where none is named."""
    if not projects:
        return tuple(workers)
    names = {name for worker in workers for name in worker.holds.values()}
    own = await asyncio.to_thread(queries.of_projects, names, projects)
    return tuple(
        msgspec.structs.replace(
            worker, reason="",
            holds={token: name if name in own else "" for token, name in worker.holds.items()},
        )
        for worker in workers
    )  # fmt: skip
