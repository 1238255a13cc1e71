"""What is logged of a run without the script asking for each value."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

COLLECTORS_VARIABLE = "STEELYARD_TRACK_COLLECTORS"


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


def prepare_collectors(given: Any) -> Callable[[Attached], None] | None:
    """Return what attaches collectors to a run, checked before it begins; None for none.

    Args:
        given: None for those that the environment names, False for none, True for the usual ones,
            names, a mapping of names to options, or collector objects; see `collector_specs`.

    Raises:
        UsageError: it is none of these.
        PluginError: a named collector can't be used.
        ConfigError: its options are wrong.
    """
    if given is False or (given is None and not os.environ.get(COLLECTORS_VARIABLE)):
        return None
    # A script without collectors pays nothing for them.
    from steelyard.app.track.collecting import prepare

    return prepare(os.environ[COLLECTORS_VARIABLE] if given is None else given)


def attach(
    experiment: Attached,
    *,
    collectors: Callable[[Attached], None] | None = None,
    automagic: Any = None,  # noqa: ARG001  what reads it comes with the frameworks
) -> None:
    """Attach to a run that was just started what logs by itself, until the run stops.

    Args:
        experiment: is running; each attachment lets go of it through its `on_stop`.
        collectors: from `prepare_collectors`.
        automagic: what is seen of frameworks and of the script's own parameters; None or False
            for nothing.
    """
    if collectors is not None:
        collectors(experiment)
