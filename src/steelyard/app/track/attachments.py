"""What is logged of a run without the script asking for each value."""

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

    def log_params(self, params: Any = None, /, **named: Any) -> None:
        """Log parameters."""

    def set_tags(self, tags: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Set tags."""

    def log_bytes(self, data: bytes, artifact_path: str) -> None:
        """Keep `data` as an artifact."""

    def on_stop(self, closer: Callable[[], None]) -> None:
        """Have `closer` called when the run stops, while it can still log; the last one first."""


def attach(experiment: Attached, *, collectors: Any = None, automagic: Any = None) -> None:
    """Attach to a run that was just started what logs by itself, until the run stops.

    Args:
        experiment: is running; each attachment lets go of it through its `on_stop`.
        collectors: facts of the machine: None or False for none, True for the usual ones, names,
            a mapping of names to options, or collector objects.
        automagic: what is seen of frameworks and of the script's own parameters; None or False
            for nothing.
    """
