"""What routes work with, handed to each by the app."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from steelyard.app.fleet.coordinator import Coordinator
from steelyard.domain.fleet.access import AccessKey
from steelyard.kernel.clock import Clock
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.web.tickets import Tickets


@dataclass(frozen=True)
class Parts:
    """The coordinator that a service speaks for, whose keys it takes, and the tickets it gave."""

    coordinator: Coordinator
    keys: KeyStore
    clock: Clock
    tickets: Tickets


def parts_of(connection: HTTPConnection) -> Parts:
    """Return the parts of the app that a request or WebSocket came to."""
    return cast("Parts", connection.app.state.parts)


def _of_request(request: Request) -> Parts:
    return parts_of(request)


def _key(request: Request) -> AccessKey:
    """Return the key that the guard recognised; an open route has none and asks for none."""
    return cast("AccessKey", request.state.key)


Given = Annotated[Parts, Depends(_of_request)]
Key = Annotated[AccessKey, Depends(_key)]
