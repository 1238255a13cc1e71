"""What backends and collectors of an experiment tracker must be able to do."""

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any


class MetricType(Enum):
    """What can be logged."""

    SCALAR = "scalar"
    PARAMETER = "parameter"
    ARTIFACT = "artifact"


class MetricSink(ABC):
    """Whoever takes what is logged."""

    @abstractmethod
    def can_handle_type(self, metric_type: MetricType | str) -> bool:
        """Return whether this kind of thing may be handed over."""


class BackendInterface(ABC):
    """Where experiments are kept."""

    @abstractmethod
    def log_metric(self, name: str, value: float, iteration: int | None = None) -> None:
        """Keep one value of a metric; `iteration` is its step, 0 being a step like any other."""

    @abstractmethod
    def log_params(self, params: dict[str, Any]) -> None:
        """Keep parameters."""

    @abstractmethod
    def log_artifact(self, local_path: str, artifact_path: str) -> None:
        """Keep the file at `local_path` as `artifact_path`."""


class CollectorInterface(ABC):
    """Where facts about the machine come from."""

    @abstractmethod
    def collect(self) -> dict[str, Any]:
        """Return the facts as of now."""
