"""Stands before every route: who comes is recognised before anything of theirs is read.

Only `OPEN_PATHS` are answered to strangers. What a key may do is checked by the route
(`steelyard.web.routes`), and a route that does not say what it allows can't be made.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException

from steelyard.domain.fleet.access import AccessKey, bearer_of
from steelyard.domain.fleet.rate_limit import RateLimit
from steelyard.kernel.clock import Clock
from steelyard.runtime.fleet.audit_log import AuditLog
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.web.door import Door
from steelyard.web.problems import RequestError, response_of

OPEN_PATHS = frozenset({"/v1/health"})
"""All that strangers are answered: whether the service is there."""

HASHES_AT_ONCE = 2
_READS = frozenset({"GET", "HEAD", "OPTIONS"})

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may ask of the service.

    Attributes:
        body_max_bytes: a longer body is refused with 413.
        body_s: a body that is slower is refused with 408.
        rate_per_s, burst: requests of one key.
        at_once: requests of one key that are under way, so that none keeps all others out.
        failures_per_s, failures_burst: wrong keys of one address.
        strangers_per_s, strangers_burst: lines of the audit log for who shows no valid key, so that
            they push nothing out of it; the next line says how many were left out.
    """

    body_max_bytes: int = 8_000_000
    body_s: float = 30.0
    rate_per_s: float = 100.0
    burst: int = 300
    failures_per_s: float = 0.5
    failures_burst: int = 20
    at_once: int = 200
    strangers_per_s: float = 1.0
    strangers_burst: int = 200


class Guard:
    """Middleware (ASGI) that lets in who shows a valid key, and nobody else.

    Args:
        app: what is guarded.
        keys: recognises tokens.
        audit: is told of every change and every refusal.
        clock: for the rates.
        bounds: of a request.
        door: who may hold a WebSocket.
    """

    def __init__(
        self, app: App, *, keys: KeyStore, audit: AuditLog, clock: Clock, bounds: Bounds, door: Door
    ) -> None:
        self._app, self._keys, self._audit, self._door = app, keys, audit, door
        self._clock, self._bounds = clock, bounds
        self._rates = RateLimit(bounds.rate_per_s, bounds.burst)
        self._failures = RateLimit(bounds.failures_per_s, bounds.failures_burst)
        self._strangers = RateLimit(bounds.strangers_per_s, bounds.strangers_burst)
        self._left_out = 0
        self._under_way: Counter[str] = Counter()
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request or hold one WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        key: AccessKey | None = None
        try:
            if scope["path"] not in OPEN_PATHS:
                key = await self._admit(scope)
            self._take_turn(key, scope)
            self._check_length(scope)
        except RequestError as error:
            self._note(scope, key, error.status)
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["key"] = key
        caller = _caller(scope, key)
        self._under_way[caller] += 1
        try:
            await self._app(scope, self._bounded(scope, receive), self._watched(scope, key, send))
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]

    async def _admit(self, scope: MutableMapping[str, Any]) -> AccessKey:
        address = _address(scope)
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        token = bearer_of(given[0].decode("latin-1")) if len(given) == 1 else None
        # Others behind the same address, a proxy's mostly, are not held up by who guesses there.
        is_known = token is not None and self._keys.is_known(token)
        wait_s = self._failures.wait_s(address, self._clock.mono_ns(), take=False)
        if wait_s and not is_known:
            raise _too_often("Too many wrong keys came from your address", wait_s)
        if scope["type"] == "websocket":
            self._door.check_origin(scope)
            if not given:
                return await self._by_ticket(scope)
        if token is None:
            raise _unknown("This needs a key", "")
        if self._keys.is_quick(token):
            key = self._keys.recognise(token)
        else:
            async with self._hashing:
                key = await asyncio.to_thread(self._keys.recognise, token)
        if key is None:
            self._failures.wait_s(address, self._clock.mono_ns())
            raise _unknown("The key is not known, revoked, or past its time", "invalid_token")
        return key

    async def _by_ticket(self, scope: MutableMapping[str, Any]) -> AccessKey:
        try:
            key = await self._door.admit(scope)
        except LookupError:
            raise _unknown("This needs a key, or a ticket", "") from None
        if key is None:
            self._failures.wait_s(_address(scope), self._clock.mono_ns())
            raise _unknown(
                "The ticket is not known, was used, or is past its time", "invalid_token"
            )
        return key

    def _take_turn(self, key: AccessKey | None, scope: MutableMapping[str, Any]) -> None:
        caller = _caller(scope, key)
        if self._under_way[caller] >= self._bounds.at_once:
            raise _too_often("Too many requests at once", 1.0)
        if wait_s := self._rates.wait_s(caller, self._clock.mono_ns()):
            raise _too_often("Too many requests", wait_s)

    def _check_length(self, scope: MutableMapping[str, Any]) -> None:
        for name, value in scope["headers"]:
            if name != b"content-length":
                continue
            if not value.isdigit() or int(value[:20]) > self._bounds.body_max_bytes:
                raise self._too_long()

    def _too_long(self) -> RequestError:
        expected = f"at most {self._bounds.body_max_bytes:,} bytes"
        return RequestError(413, "The body is too long", expected=expected)

    def _bounded(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        """Return a `receive` that takes no more bytes and no longer than the bounds say."""
        if scope["type"] != "http":
            return receive
        taken, is_whole = 0, False

        async def bounded() -> Message:
            nonlocal taken, is_whole
            if is_whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._bounds.body_s)
            except TimeoutError:
                raise HTTPException(408, "The body did not come in time") from None
            taken += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if taken > self._bounds.body_max_bytes:
                # FastAPI hands on this class only; others it takes for bad JSON.
                raise HTTPException(413, str(self._too_long()))
            return message

        return bounded

    def _watched(self, scope: MutableMapping[str, Any], key: AccessKey | None, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                message.setdefault("headers", []).extend(_HEADERS)
                status = message["status"]
                if scope.get("method", "GET") not in _READS or status in {401, 403, 429}:
                    self._note(scope, key, status)
            await send(message)

        return watched

    def _note(self, scope: MutableMapping[str, Any], key: AccessKey | None, status: int) -> None:
        more = {}
        if key is None:
            if self._strangers.wait_s("", self._clock.mono_ns()):
                self._left_out += 1
                return
            more = {"left_out": self._left_out} if self._left_out else {}
            self._left_out = 0
        self._audit.note(
            at_ns=self._clock.wall_ns(), request_id=secrets.token_hex(8),
            key_id=key.key_id if key else "", user=key.user if key else "",
            role=str(key.role) if key else "", address=_address(scope),
            method=scope.get("method", "WEBSOCKET"), path=scope["path"][:500], status=status,
            **more,
        )  # fmt: skip


_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


def _address(scope: MutableMapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _caller(scope: MutableMapping[str, Any], key: AccessKey | None) -> str:
    return key.key_id if key is not None else f"address {_address(scope)}"


def _unknown(what: str, error: str) -> RequestError:
    challenge = 'Bearer realm="steelyard"' + (f', error="{error}"' if error else "")
    return RequestError(
        401, what, expected="Authorization: Bearer KEY",
        next_step="Show a key with --key or STEELYARD_FLEET_KEY; an admin makes one: "
        "steelyard fleet keys create",
        headers={"WWW-Authenticate": challenge},
    )  # fmt: skip


def _too_often(what: str, wait_s: float) -> RequestError:
    headers = {"Retry-After": str(int(wait_s) + 1)}
    return RequestError(429, what, next_step=f"Try again in {wait_s:.1f} s.", headers=headers)


async def _refuse(
    error: RequestError, scope: MutableMapping[str, Any], receive: Receive, send: Send
) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope["extensions"]:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.what})
        return
    response = response_of(error)
    response.headers["Connection"] = "close" if error.status == 413 else "keep-alive"
    for name, value in _HEADERS:
        response.headers[name.decode()] = value.decode()
    await response(scope, receive, send)
