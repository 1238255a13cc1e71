"""What is told of a plugin: its metadata, its state, and both together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from typing import Any

from steelyard.plugins import states as core


class PluginType(Enum):
    """What a plugin extends; the value is the core's kind of the same name."""

    BACKEND = "backend"
    COLLECTOR = "collector"
    FRAMEWORK = "framework"
    CUSTOM = "custom"


class PluginState(IntEnum):
    """Where a plugin stands; a later state of a good life is a larger number."""

    FAILED = -1
    DISCOVERED = 0
    LOADED = 1
    VALIDATED = 2
    INITIALIZED = 3
    STARTED = 4
    STOPPED = 5


_STATES = {
    core.PluginState.DISCOVERED: PluginState.DISCOVERED,
    core.PluginState.DISABLED: PluginState.FAILED,
    core.PluginState.MISSING_REQUIREMENT: PluginState.FAILED,
    core.PluginState.LOADED: PluginState.LOADED,
    core.PluginState.VALIDATED: PluginState.VALIDATED,
    core.PluginState.INITIALIZED: PluginState.INITIALIZED,
    core.PluginState.STARTED: PluginState.STARTED,
    core.PluginState.STOPPED: PluginState.STOPPED,
    core.PluginState.FAILED: PluginState.FAILED,
    core.PluginState.QUARANTINED: PluginState.FAILED,
}


def state_of(state: core.PluginState) -> PluginState:
    """Return the number of one of the core's states."""
    return _STATES[state]


def type_of(given: "PluginType | str") -> PluginType:
    """Return the type that `given` names, singular or plural.

    Raises:
        ValueError: it names none; the message lists them.
    """
    if isinstance(given, PluginType):
        return given
    word = str(given).strip().lower().removesuffix("s")
    for known in PluginType:
        if known.value == word:
            return known
    raise ValueError(
        f"unknown plugin type: got {given!r}; expected one of "
        + ", ".join(known.value for known in PluginType)
    )


@dataclass(init=False)
class PluginMetadata:
    """What a plugin says of itself.

    Args:
        name, version, description, author: for people; the name is how it is asked for.
        type: what it extends; `plugin_type` is another spelling of the same argument.
        dependencies: PEP 508 requirements, and names of plugins that must come first.
        config_schema: JSON Schema, or `{field: {type, required, default}}`.
        capabilities: what it says it can do.
        entry_point: where its class is, for people.

    Raises:
        ValueError: no type is given, an unknown one, or two that differ.
    """

    name: str
    version: str
    type: PluginType
    description: str = ""
    author: str = ""
    dependencies: list[str] = field(default_factory=list)
    config_schema: dict[str, Any] | None = None
    capabilities: set[str] = field(default_factory=set)
    entry_point: str = ""

    def __init__(
        self,
        name: str,
        version: str,
        type: PluginType | str | None = None,
        description: str = "",
        author: str = "",
        dependencies: Iterable[str] = (),
        config_schema: dict[str, Any] | None = None,
        capabilities: Iterable[str] = (),
        *,
        plugin_type: PluginType | str | None = None,
        entry_point: str = "",
    ) -> None:
        given = {type_of(one) for one in (type, plugin_type) if one is not None}
        if len(given) != 1:
            raise ValueError(
                f"plugin {name!r} must state one type, as type= or plugin_type=; "
                f"got {type!r} and {plugin_type!r}"
            )
        self.name = name
        self.version = version
        self.type = given.pop()
        self.description = description
        self.author = author
        self.dependencies = list(dependencies)
        self.config_schema = config_schema
        self.capabilities = set(capabilities)
        self.entry_point = entry_point

    @property
    def plugin_type(self) -> PluginType:
        """The type under its other name."""
        return self.type


@dataclass
class PluginInfo(Mapping[str, Any]):
    """A plugin as the manager knows it: `info.metadata` and `info["metadata"]` are the same.

    Args:
        metadata: what it says of itself.
        module_path, class_name: where its class is.
        state: where it stands.
        instance: the living instance, None before it was initialized.
        error: why it can't be used, None when it can.
    """

    metadata: PluginMetadata
    module_path: str
    class_name: str
    state: PluginState = PluginState.DISCOVERED
    instance: Any = None
    error: str | None = None

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.metadata.name

    def __getitem__(self, key: str) -> Any:
        if key in self:
            return getattr(self, key)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(f.name == key for f in fields(self))

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self))

    def __len__(self) -> int:
        return len(fields(self))
