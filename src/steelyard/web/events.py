"""/v1/events: what happens, as it does, over a WebSocket; what happened, page by page.

A key for some projects sees what `steelyard.app.fleet.sight` leaves. Each client reads the ledger
at its own pace, so a slow one falls behind and holds nobody up; one that takes nothing for `SEND_S`
is let go, and goes on where it was with `after`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import Query, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from steelyard.domain.fleet.access import AccessKey, Permission
from steelyard.runtime.fleet.ledger_queries import Told
from steelyard.web.answers import json_of
from steelyard.web.models import INTEGER_MAX
from steelyard.web.parts import Given, Key, parts_of
from steelyard.web.problems import RequestError, response_of
from steelyard.web.routes import NUMBER, Word, allows, listed, router
from steelyard.web.tickets import PROTOCOL

SEND_S = 30.0
CLIENTS_MAX = 200
CLIENTS_OF_KEY_MAX = 50
"""Of one key, so that no key keeps all others out."""
_POLICY, _TRY_AGAIN = 1008, 1013
_DIGITS_MAX = 19
_TASK_ID_MAX = 200
_TOO_MANY = RequestError(
    429, "Too many clients follow events",
    expected=f"at most {CLIENTS_OF_KEY_MAX} of one key, {CLIENTS_MAX} of all",
    next_step="Close some, or ask for past events, page by page.",
)  # fmt: skip

routes = router("events")


@routes.get("/events", **allows(Permission.EVENTS_READ, answer=listed("Told", next=NUMBER)))
async def past_events(
    given: Given,
    key: Key,
    after: Annotated[int, Query(ge=0, le=INTEGER_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    task_id: Word = "",
) -> Response:
    """List what happened after the event of that number; `next` is `after` of the next page."""
    return json_of(await given.coordinator.event_page(after, limit, task_id, key.projects))


@routes.post("/events/tickets", **allows(Permission.EVENTS_READ, answer="TicketMade", status=201))
async def give_ticket(given: Given, key: Key) -> Response:
    """Give a ticket to this WebSocket, for a browser: it is good once, and for half a minute.

    A browser offers `protocols` as its subprotocols; the page must be of this service's origin, or
    of one that `serve --allow-origin` names.
    """
    return json_of(given.tickets.give(key), 201)


async def events(socket: WebSocket) -> None:
    """Hold a WebSocket: `after` begins after the event of that number, `task_id` is only of one."""
    key: AccessKey | None = socket.state.key
    place = socket.query_params.get("after", "")
    refusal = _refusal(key, place, socket.query_params.get("task_id", ""))
    if refusal or key is None:
        await socket.close(_POLICY, refusal)
        return
    clients: Counter[str] = socket.app.state.event_clients
    if clients.total() >= CLIENTS_MAX or clients[key.key_id] >= CLIENTS_OF_KEY_MAX:
        await socket.send_denial_response(response_of(_TOO_MANY))
        return
    clients[key.key_id] += 1
    try:
        await _hold(socket, key, int(place) if place else None)
    finally:
        clients[key.key_id] -= 1
        if not clients[key.key_id]:
            del clients[key.key_id]


def _refusal(key: AccessKey | None, place: str, task_id: str = "") -> str:
    if key is None or Permission.EVENTS_READ not in key.permissions:
        return f"your key does not allow {Permission.EVENTS_READ}"
    if place and not (
        len(place) <= _DIGITS_MAX
        and place.isascii() and place.isdecimal() and int(place) <= INTEGER_MAX
    ):  # fmt: skip
        return "after is the number of an event"
    if not task_id.isprintable() or len(task_id) > _TASK_ID_MAX:
        return "task_id is the id of a task"
    return ""


async def _hold(socket: WebSocket, key: AccessKey, after: int | None) -> None:
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    told = parts_of(socket).coordinator.follow(
        after, socket.query_params.get("task_id", ""), key.projects
    )
    jobs = {
        asyncio.create_task(_tell(socket, told), name="events-out"),
        asyncio.create_task(_hear(socket), name="events-in"),
        asyncio.create_task(_watch(socket, key), name="events-key"),
    }
    try:
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    for job in done:
        job.result()


async def _tell(socket: WebSocket, told: AsyncIterator[Told]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it went while we sent
        async for event in told:
            text = msgspec.json.encode(event).decode()
            try:
                await asyncio.wait_for(socket.send_text(text), SEND_S)
            except TimeoutError:
                await socket.close(_TRY_AGAIN, "too slow; go on with after")
                return


async def _hear(socket: WebSocket) -> None:
    """A client has nothing to say but goodbye; what it says, in text or bytes, is passed over."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        continue


async def _watch(socket: WebSocket, key: AccessKey) -> None:
    """A key that is revoked or past its time is shown no more."""
    parts = parts_of(socket)
    while True:
        await asyncio.sleep(_LOOK_S)
        if not await asyncio.to_thread(parts.keys.is_valid, key.key_id):
            with contextlib.suppress(RuntimeError):
                await socket.close(_POLICY, "the key is no longer valid")
            return


_LOOK_S = 5.0
