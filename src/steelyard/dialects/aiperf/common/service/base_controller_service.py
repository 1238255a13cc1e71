"""The base class of services that command others."""

from typing import Any

import msgspec

from steelyard.dialects.aiperf.common.messages import Message, TypedMessage, from_wire, to_wire
from steelyard.dialects.aiperf.common.service.base_service import BaseService

__all__ = ["BaseControllerService"]

COMMAND_TIMEOUT_S = 30.0


class BaseControllerService(BaseService):
    """A role that tells others what to do and waits for their answers."""

    async def send_command(
        self,
        target: str,
        message: Message | msgspec.Struct,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> Any:
        """Return the answer of the one service called `target`, None when it has nothing to say.

        Raises:
            CommandTimeoutError: no answer within `timeout_s`.
            CommandFailedError: its handler raised, nobody handles it, or the target is gone.
        """
        answer = await self.bus.command(target, to_wire(message), timeout_s=timeout_s)
        return from_wire(answer, Message) if isinstance(answer, TypedMessage) else answer
