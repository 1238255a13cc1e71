"""The enumerations of `aiperf`, their values being the names the core uses."""

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from steelyard.runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from steelyard.domain.bench.metrics import MetricFlags
    from steelyard.domain.bench.metrics import MetricGroup as MetricConsoleGroup

__all__ = [
    "CaseInsensitiveStrEnum",
    "CreditPhase",
    "MessageType",
    "MetricConsoleGroup",
    "MetricFlags",
    "ServiceRunType",
    "ServiceType",
]


# The metrics' enumerations bring numpy along: only for who asks for them.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MetricFlags": "steelyard.domain.bench.metrics",
        "MetricConsoleGroup": "steelyard.domain.bench.metrics:MetricGroup",
    },
)


class CaseInsensitiveStrEnum(StrEnum):
    """Text members, found by value in any case and with `-` for `_`."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        wanted = value.lower().replace("-", "_")
        return next((m for m in cls if m.value.lower().replace("-", "_") == wanted), None)


class CreditPhase(CaseInsensitiveStrEnum):
    """The two kinds of phases; a user's own phase name is plain text."""

    WARMUP = "warmup"
    PROFILING = "profiling"


class ServiceRunType(CaseInsensitiveStrEnum):
    """How the services of a run are spread; the value is what `--run-type` takes."""

    MULTIPROCESSING = "process"
    INLINE = "inline"
    RAY = "ray"
    KUBERNETES = "k8s"


class ServiceType(CaseInsensitiveStrEnum):
    """The roles of a run; a service of one's own may use any other text."""

    SYSTEM_CONTROLLER = "system_controller"
    DATASET_MANAGER = "dataset_manager"
    TIMING_MANAGER = "timing_manager"
    WORKER_MANAGER = "worker_manager"
    WORKER = "worker"
    RECORDS_MANAGER = "records_manager"
    POST_PROCESSOR_MANAGER = "post_processor_manager"
    TEST = "test_service"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        # The developers' guide calls the dataset manager's role `dataset`.
        if value == "dataset":
            return cls("dataset_manager")
        return super()._missing_(value)


class _OpenNames(type):
    """Makes every name in capitals a member: the set of message types has no end."""

    def __getattr__(cls, name: str) -> "MessageType":
        if not name.isupper() or name.startswith("_"):
            message = f"{cls.__name__} has no {name!r}; message types are written in CAPITALS"
            raise AttributeError(message)
        member: MessageType = cls.__call__(name.lower())
        return member


class MessageType(str, metaclass=_OpenNames):
    """The name of a message; `MessageType.MY_MSG` is the text `my_msg`, for any name in capitals.

    A plugin's own messages need no entry anywhere: the handler that names the type is the entry.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The member's name, in capitals."""
        return self.upper()

    @property
    def value(self) -> str:
        """The text that travels."""
        return str(self)
