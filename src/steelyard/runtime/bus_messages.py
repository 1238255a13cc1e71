"""Which message types may come off a wire, and the few that bus and services send themselves."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import msgspec

from steelyard.domain.bench import messages as bench_messages
from steelyard.kernel.errors import EXIT_BUG, UsageError


class Hello(msgspec.Struct, frozen=True):
    """Role to broker, first of all: who speaks from this socket."""

    service_id: str
    service_type: str


class Subscribe(msgspec.Struct, frozen=True):
    """Role to broker: forward published messages of these types."""

    types: tuple[str, ...]


class Nothing(msgspec.Struct, frozen=True):
    """The answer to a command whose handler returned None."""


class CommandFailure(msgspec.Struct, frozen=True):
    """The answer to a command whose handler raised: the error in words, and its exit code."""

    error: str
    exit_code: int = EXIT_BUG


class RegisterService(msgspec.Struct, frozen=True):
    """Service to controller: initialized, connected, and waiting to be configured."""

    service_id: str
    service_type: str
    index: int
    pid: int


class Heartbeat(msgspec.Struct, frozen=True):
    """Service to controller, from its event loop: it still turns."""

    service_id: str
    beat: int


class ServiceStatus(msgspec.Struct, frozen=True):
    """Service to controller, at each change of state; `error` says why it is `failed`.

    `exit_code` is what a run ends with that can't do without the service.
    """

    service_id: str
    service_type: str
    state: str
    error: str = ""
    exit_code: int = EXIT_BUG


class StartService(msgspec.Struct, frozen=True):
    """Controller to a service, as a command: take the step `start`."""


class StopService(msgspec.Struct, frozen=True):
    """Controller to a service, as a command: step `stop`, answer, then clean up and end."""


CONTROL_TYPES: tuple[type[msgspec.Struct], ...] = (
    Hello,
    Subscribe,
    Nothing,
    CommandFailure,
    RegisterService,
    Heartbeat,
    ServiceStatus,
    StartService,
    StopService,
    bench_messages.ServiceLost,
)


class MessageRegistry:
    """The message types that may be decoded, by name; nothing else ever is."""

    def __init__(self, *sources: ModuleType | Iterable[type[msgspec.Struct]]) -> None:
        self._decoders: dict[str, tuple[type[msgspec.Struct], msgspec.msgpack.Decoder[Any]]] = {}
        self.register(CONTROL_TYPES)
        for source in sources:
            self.register(source)

    def register(self, source: ModuleType | Iterable[type[msgspec.Struct]]) -> None:
        """Allow the types in `source`: those given, or every public Struct a module defines.

        Raises:
            UsageError: another type of the same name is already allowed.
        """
        for cls in _structs_of(source) if isinstance(source, ModuleType) else tuple(source):
            known = self._decoders.get(cls.__name__)
            if known is None:
                self._decoders[cls.__name__] = (cls, msgspec.msgpack.Decoder(cls))
            elif known[0] is not cls:
                raise UsageError(
                    f"two message types are called {cls.__name__!r}",
                    got=f"{cls.__module__}.{cls.__qualname__}",
                    expected=f"a name other than that of {known[0].__module__}.{cls.__name__}",
                    next_step="Rename one of them: the name is what travels.",
                )

    def type_of(self, name: str) -> type[msgspec.Struct] | None:
        """Return the type called `name`, or None when it isn't allowed."""
        known = self._decoders.get(name)
        return known[0] if known else None

    def decode(self, name: str, payload: bytes | msgspec.Raw) -> Any:
        """Return `payload` as the Struct called `name`.

        Raises:
            KeyError: no type of that name is allowed.
            msgspec.DecodeError: the payload is not one (`ValidationError` included).
        """
        return self._decoders[name][1].decode(payload)


def _structs_of(module: ModuleType) -> list[type[msgspec.Struct]]:
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


MESSAGES = MessageRegistry(bench_messages)
"""The registry of this process: the benchmark's messages, and what was registered since."""


def register_messages(source: ModuleType | Iterable[type[msgspec.Struct]]) -> None:
    """Allow more message types in this process; subscribing to a type does it too.

    Raises:
        UsageError: another type of the same name is already allowed.
    """
    MESSAGES.register(source)


def schema_version(cls: type[msgspec.Struct]) -> int:
    """Return the `SCHEMA_VERSION` of a message type, 1 where it states none."""
    version: int = getattr(cls, "SCHEMA_VERSION", 1)
    return version
