"""Who may hold a WebSocket: pages of known origins, and who shows a ticket instead of a key.

A browser lets any page open a WebSocket anywhere and says only whose page it is: so that is looked
at. Programs say no origin, and show their key.
"""

import asyncio
from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from steelyard.domain.fleet.access import AccessKey
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.web.problems import RequestError
from steelyard.web.tickets import PREFIX, PROTOCOL, Tickets


class Door:
    """Looks at requests for WebSockets.

    Args:
        tickets: that were given.
        keys: whether a ticket's key is still valid.
        origins: of pages that may come, beside those of the service's own host.

    Raises:
        UsageError: one of them is none.
    """

    def __init__(self, tickets: Tickets, keys: KeyStore, origins: Collection[str]) -> None:
        self._tickets, self._keys = tickets, keys
        self._origins = frozenset(map(origin_of, origins))

    def check_origin(self, scope: MutableMapping[str, Any]) -> None:
        """Refuse pages of other origins.

        Raises:
            RequestError: 403, it is one.
        """
        told = _headers(scope, b"origin")
        if not told:
            return
        hosts = _headers(scope, b"host")
        own = {f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts[:1]}
        if len(told) > 1 or told[0] not in self._origins | own:
            raise RequestError(
                403, "Pages of this origin may hold no WebSocket here", got=told[0][:200],
                next_step="Name it: steelyard fleet serve --allow-origin",
            )  # fmt: skip

    async def admit(self, scope: MutableMapping[str, Any]) -> AccessKey | None:
        """Return the key that a ticket of the request stands for; the ticket is used up by that.

        Raises:
            LookupError: no ticket was shown.
        """
        offered = scope.get("subprotocols") or ()
        shown = [each.removeprefix(PREFIX) for each in offered if each.startswith(PREFIX)]
        if len(shown) != 1 or PROTOCOL not in offered:
            raise LookupError
        key = self._tickets.take(shown[0])
        if key is None or not await asyncio.to_thread(self._keys.is_valid, key.key_id):
            return None
        return key


def origin_of(text: str) -> str:
    """Return an origin as browsers say it.

    Raises:
        UsageError: it is none.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
        raise UsageError(
            "This is no origin", got=text, expected="https://HOST or https://HOST:PORT"
        )
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise UsageError("An origin has no path", got=text, expected=f"{parts.scheme}://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _headers(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key == name]
