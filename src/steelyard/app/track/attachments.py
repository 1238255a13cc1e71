"""What is logged of a run without the script asking for each value."""

import os
from collections.abc import Callable
from typing import Any

from steelyard.app.track.attached import Attached

COLLECTORS_VARIABLE = "STEELYARD_TRACK_COLLECTORS"


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


def prepare_automagic(given: Any) -> Callable[[Attached], None] | None:
    """Return what has a run told of frameworks and hyperparameters; None for neither.

    Args:
        given: None or False for nothing, True for all that needs no further word, names, or a
            mapping of names to options; see `patching.wanted` and `hyperparameters.wanted`.

    Raises:
        UsageError: it is none of these.
        PluginError: a named framework can't be used.
        ConfigError: its options are wrong.
    """
    if given is None or given is False:
        return None
    from steelyard.app.track import hyperparameters, patching

    parts = [part for part in (hyperparameters.prepare(given), patching.prepare(given)) if part]

    def begin(experiment: Attached) -> None:
        for part in parts:
            part(experiment)

    return begin


def attach(
    experiment: Attached,
    *,
    collectors: Callable[[Attached], None] | None = None,
    automagic: Callable[[Attached], None] | None = None,
) -> None:
    """Attach to a run that was just started what logs by itself, until the run stops.

    Args:
        experiment: is running; each attachment lets go of it through its `on_stop`.
        collectors: from `prepare_collectors`.
        automagic: from `prepare_automagic`.
    """
    if collectors is not None:
        collectors(experiment)
    if automagic is not None:
        automagic(experiment)
