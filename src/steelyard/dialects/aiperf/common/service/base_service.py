"""The base class of services: the core's `Service` with the constructor of the guide."""

import logging
import os
import typing
from collections.abc import Callable, Iterator
from typing import Any, Self

import msgspec

from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig
from steelyard.dialects.aiperf.common.hooks import MESSAGE_TYPES
from steelyard.dialects.aiperf.common.messages import Message, TypedMessage, from_wire, to_wire
from steelyard.kernel.ids import make_service_id
from steelyard.runtime.bus import register_messages
from steelyard.runtime.service import Service, ServiceContext, on_message
from steelyard.runtime.service_log import Lazy

__all__ = ["BaseService"]


class _RoleName:
    """A `service_type` property that can be read from the class too, before anything is made."""

    def __init__(self, prop: property) -> None:
        self._prop = prop
        self.__doc__ = prop.__doc__

    def __get__(self, instance: object | None, owner: type) -> Any:
        of = instance if instance is not None else object.__new__(owner)
        return self._prop.__get__(of, owner)


class BaseService(Service):
    """A role of a run.

    Args:
        service_config: how it runs.
        service_id: unique within the run; made from the role and chance when None.

    Subclasses give their role as a property `service_type`, and mark methods with the decorators
    of `common.hooks`. `self.debug`, `info`, `warning` and `error` take a text, or a callable that
    makes one only when the level is on.
    """

    def __init__(self, service_config: ServiceConfig, service_id: str | None = None) -> None:
        role = str(self.service_type)
        name = service_id or make_service_id(role, os.urandom(4))
        # A command's answer may be one of ours, also for a service that subscribes to nothing.
        register_messages((TypedMessage,))
        super().__init__(service_config.context_of(name, role))
        self.service_config = service_config
        self.logger = logging.getLogger(f"steelyard.service.{self.service_id}")

    def __init_subclass__(cls, **rest: Any) -> None:
        """Make the role readable from the class: a run names its roles before it makes them."""
        super().__init_subclass__(**rest)
        stated = vars(cls).get("service_type")
        if isinstance(stated, property):
            cls.service_type = _RoleName(stated)  # type: ignore[assignment]

    @classmethod
    def build(cls, context: ServiceContext) -> Self:
        """Return the service for a run's context."""
        return cls(service_config=ServiceConfig.of_run(context), service_id=context.service_id)

    async def publish(self, message: Message | msgspec.Struct) -> None:
        """Tell every service that listens to this type of message."""
        await self.bus.publish(to_wire(message))

    async def send(self, target: str, message: Message | msgspec.Struct) -> None:
        """Tell one service by id, or all of a role."""
        await self.bus.send(target, to_wire(message))

    def debug(self, message: Lazy) -> None:
        """Log for a developer."""
        self.log.debug(message)

    def info(self, message: Lazy) -> None:
        """Log what happened."""
        self.log.info(message)

    def warning(self, message: Lazy) -> None:
        """Log what a person should look at."""
        self.log.warning(message)

    def error(self, message: Lazy) -> None:
        """Log a failure."""
        self.log.error(message)

    @on_message(TypedMessage)
    async def _typed_message(self, wire: TypedMessage) -> msgspec.Struct | None:
        """Hand a message to the methods marked with its type; the first answer is the answer."""
        answer: Any = None
        for handler, message_class in self._typed_handlers(wire.message_type):
            result = await handler(from_wire(wire, message_class))
            answer = result if answer is None else answer
        return None if answer is None else to_wire(answer)

    def _typed_handlers(
        self, message_type: str
    ) -> Iterator[tuple[Callable[..., Any], type[Message]]]:
        for name in dict.fromkeys(n for cls in type(self).__mro__ for n in vars(cls)):
            marked = getattr(type(self), name, None)
            if message_type in getattr(marked, MESSAGE_TYPES, ()):
                yield getattr(self, name), _message_class(marked)


def _message_class(handler: Any) -> type[Message]:
    """Return the class that a handler's annotation asks for, `Message` where it asks for none."""
    hints = typing.get_type_hints(handler)
    hints.pop("return", None)
    stated = next(iter(hints.values()), Message)
    return stated if isinstance(stated, type) and issubclass(stated, Message) else Message
