"""Decorators that tie a service's methods to the steps of its life and to messages."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from steelyard.dialects.aiperf.common.models import BasePayload
from steelyard.domain.bench.messages import ConfigureRun
from steelyard.runtime import service as core
from steelyard.runtime.service import on_cleanup, on_init, on_start, on_stop

__all__ = ["on_cleanup", "on_configure", "on_init", "on_message", "on_start", "on_stop"]

MESSAGE_TYPES = "__aiperf_message_types__"

_F = TypeVar("_F", bound=Callable[..., Coroutine[Any, Any, Any]])


def on_configure(function: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
    """Call `async method(self, payload)` in the step configure, with the plan in `payload.data`."""

    @functools.wraps(function)
    async def configured(self: Any, message: Any) -> None:
        is_command = isinstance(message, ConfigureRun)
        await function(self, BasePayload(data=message.plan) if is_command else message)

    return core.on_configure(configured)


def on_message(*message_types: str | type[msgspec.Struct]) -> Callable[[_F], _F]:
    """Call `async method(self, message)` for messages of these types.

    A type is a `MessageType`, a text, or a Struct of the core. The message arrives as the class
    that the method's annotation names. What the method returns answers a command.
    """
    names = tuple(str(one) for one in message_types if not isinstance(one, type))
    structs = tuple(one for one in message_types if isinstance(one, type))

    def decorate(function: _F) -> _F:
        if names:
            known: tuple[str, ...] = getattr(function, MESSAGE_TYPES, ())
            setattr(function, MESSAGE_TYPES, (*known, *names))
        return core.on_message(*structs)(function) if structs else function

    return decorate
