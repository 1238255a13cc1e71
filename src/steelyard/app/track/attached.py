"""A run, as what logs into it by itself sees it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Attached(Protocol):
    """What an attachment may do with the run it is attached to."""

    @property
    def is_running(self) -> bool:
        """True between start and stop."""
        ...

    def log_metrics(
        self,
        values: Mapping[str, Any],
        iteration: int | None = None,
        *,
        step: int | None = None,
        source: str | None = None,
    ) -> None:
        """Log values of several metrics at one step; `source` says who does."""

    def log_sample(self, values: Mapping[str, float], source: str) -> None:
        """Log floats that no step of the script is meant by: they have steps of their own."""

    def log_params(self, params: Any = None, /, **named: Any) -> None:
        """Log parameters."""

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Set tags."""

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Keep `data` as an artifact."""

    def on_stop(self, closer: Callable[[], None]) -> None:
        """Have `closer` called when the run stops, while it can still log; the last one first."""
