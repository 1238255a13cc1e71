"""Tickets to the WebSocket of events, for browsers: they can set no header `Authorization` there.

A ticket stands for a key once, and for seconds; it is shown as a subprotocol, so that neither it
nor the key is ever part of a URL. It is known to the coordinator that gave it, and in memory only.
"""

import secrets
from collections import OrderedDict
from hashlib import sha256

import msgspec

from steelyard.domain.fleet.access import AccessKey
from steelyard.kernel.clock import Clock
from steelyard.kernel.units import NS_PER_S

PROTOCOL = "steelyard.events"
"""The subprotocol that is spoken; a browser offers it beside the ticket, and is answered it."""
PREFIX = "steelyard.ticket."
"""What a ticket is offered behind."""
TTL_S = 30.0
WAITING_MAX = 10_000
WAITING_OF_KEY_MAX = 100


class TicketMade(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket, and how to show it: `new WebSocket(url, protocols)`.

    Attributes:
        protocols: what a browser offers; the ticket is in the second one.
        expires_s: how long it may be used, once.
    """

    protocols: tuple[str, ...]
    expires_s: float = TTL_S


class _Kept(msgspec.Struct, frozen=True):
    key: AccessKey
    until_ns: int


class Tickets:
    """The tickets that were given and not used; only hashes of them are kept.

    Args:
        clock: for their time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def give(self, key: AccessKey) -> TicketMade:
        """Return a new ticket for a key; where too many wait, the oldest is no longer good."""
        now_ns = self._clock.mono_ns()
        self._forget(now_ns, key)
        ticket = secrets.token_urlsafe(32)
        self._kept[_hash(ticket)] = _Kept(key, now_ns + int(TTL_S * NS_PER_S))
        return TicketMade(protocols=(PROTOCOL, PREFIX + ticket))

    def take(self, ticket: str) -> AccessKey | None:
        """Return the key that a ticket stands for, once; None where it is none, or too late."""
        kept = self._kept.pop(_hash(ticket), None)
        if kept is None or self._clock.mono_ns() >= kept.until_ns:
            return None
        return kept.key

    def _forget(self, now_ns: int, key: AccessKey) -> None:
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if oldest.until_ns > now_ns and len(self._kept) < WAITING_MAX:
                break
            self._kept.popitem(last=False)
        own = [name for name, kept in self._kept.items() if kept.key.key_id == key.key_id]
        if len(own) >= WAITING_OF_KEY_MAX:
            del self._kept[own[0]]


def _hash(ticket: str) -> bytes:
    return sha256(ticket.encode("utf-8", "surrogatepass")).digest()
