"""Which mirrors a run will have, checked before it begins."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from steelyard.runtime.track.layout import RunPlace, Store

if TYPE_CHECKING:
    from steelyard.app.track.mirroring import Mirroring

BACKENDS_VARIABLE = "STEELYARD_TRACK_BACKENDS"
_log = logging.getLogger("steelyard.track")


def planned(
    backend: Any, routing: Iterable[Any] | None
) -> "Callable[[Store, RunPlace], Mirroring] | None":
    """Return what starts the mirrors of a run; None when it has none.

    Raises:
        UsageError: `backend` names none, or a rule is none.
        PluginError: a backend can't be used.
        ConfigError: its options are wrong.
    """
    if backend is None and not os.environ.get(BACKENDS_VARIABLE):
        return None
    # A script without backends pays nothing for them.
    from steelyard.app.composition import standard_host
    from steelyard.app.track.backends import backend_specs, require, rules_of
    from steelyard.app.track.mirroring import Mirroring
    from steelyard.domain.track.routing import unmatched
    from steelyard.kernel.errors import did_you_mean

    specs = backend_specs(os.environ[BACKENDS_VARIABLE] if backend is None else backend)
    if not specs:
        return None
    rules, labels = rules_of(routing), [spec.label for spec in specs]
    for pattern in unmatched(rules, labels):
        hint = did_you_mean(pattern, labels)
        _log.warning(
            "A routing rule is for '%s', and no mirror is called so, but: %s. %s",
            pattern, ", ".join(labels), hint,
        )  # fmt: skip
    if any(spec.instance is None for spec in specs):
        require(specs, standard_host())
    return lambda store, place: Mirroring(store, place, specs, rules)
