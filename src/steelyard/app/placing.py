"""Who starts the workers of a run that are not forked: a cluster engine, or a person."""

import importlib
from collections.abc import Callable, Sequence

from steelyard.domain.bench.plan import Plan
from steelyard.runtime.join import Join, Placement

__all__ = ["PLACEMENTS", "Join", "NobodyPlaces", "Placement", "placement_of"]


class NobodyPlaces:
    """Run type `remote`: workers are started by hand, or by another system, with the join file."""

    def __init__(self, plan: Plan) -> None:
        """Take the plan, as every placement does."""

    async def place(self, joins: Sequence[Join], lost: Callable[[int, str], None]) -> None:
        """Start nothing: the join file is there for whoever does."""

    async def stop(self) -> None:
        """End nothing: workers end by themselves when the run says so."""


PLACEMENTS = {
    "remote": "steelyard.app.placing:NobodyPlaces",
}
"""Run type to `module:Class`, called with the plan; loaded only when such a run begins.

All these run types have workers that join over tcp with a `Join`.
"""


def placement_of(plan: Plan) -> Placement | None:
    """Return what places the workers of `plan`; None when they are forked or in this process.

    Raises:
        SteelyardError: the run type can't be used here, such as one whose extra is missing.
    """
    target = PLACEMENTS.get(plan.run_type)
    if target is None:
        return None
    module, _, name = target.partition(":")
    placement: Placement = getattr(importlib.import_module(module), name)(plan)
    return placement
