"""Messages as pydantic models, and how they travel: inside one typed Struct of the core's bus."""

from typing import Any, TypeVar

import msgspec
from pydantic import ConfigDict, Field

from steelyard.dialects.aiperf.common.models import AIPerfBaseModel

MessageTypeT = str
"""A message's type: a `MessageType`, or any text of one's own."""

_M = TypeVar("_M", bound="Message")


class Message(AIPerfBaseModel):
    """What services tell each other; a subclass gives `message_type` a default and adds fields."""

    model_config = ConfigDict(extra="allow")

    message_type: MessageTypeT = Field(description="Which handlers it is for")


class TypedMessage(msgspec.Struct, frozen=True):
    """A `Message` on the bus: its type, and its fields as plain data."""

    message_type: str
    fields: dict[str, Any]


def to_wire(message: Message | msgspec.Struct) -> msgspec.Struct:
    """Return what the bus carries for `message`; a Struct of the core carries itself."""
    if isinstance(message, msgspec.Struct):
        return message
    return TypedMessage(str(message.message_type), message.model_dump(mode="json"))


def from_wire(message: TypedMessage, cls: type[_M]) -> _M:
    """Return the message as `cls`.

    Raises:
        pydantic.ValidationError: its fields are not those of `cls`.
    """
    return cls.model_validate(message.fields)
