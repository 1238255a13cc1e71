"""What every service can be asked to do."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class BaseServiceInterface(Protocol):
    """The six steps of a service's life, in their order."""

    @property
    def service_type(self) -> str:
        """The role it plays."""
        ...

    async def initialize(self) -> None:
        """Subscribe to messages and call the `on_init` hooks."""

    async def run(self) -> None:
        """Register with the controller and begin heartbeats."""

    async def configure(self, message: Any) -> None:
        """Take in the plan."""

    async def start(self) -> None:
        """Begin the work."""

    async def stop(self) -> None:
        """End the work."""

    async def cleanup(self) -> None:
        """Release everything."""
