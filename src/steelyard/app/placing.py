"""Who starts the workers of a run that are not forked: a cluster engine, or a person."""

import importlib
from collections.abc import Callable, Mapping, Sequence

from steelyard.app.run_types import PLACEMENTS
from steelyard.domain.bench.plan import Plan, RemotePlan
from steelyard.kernel.errors import UsageError
from steelyard.runtime.join import Join, Placement
from steelyard.runtime.join_address import local_address_towards, split_address

__all__ = ["PLACEMENTS", "Join", "NobodyPlaces", "Placement", "listen_of", "placement_of"]

RAY, RAY_ADDRESS = "ray", "RAY_ADDRESS"


class NobodyPlaces:
    """Run type `remote`: workers are started by hand, or by another system, with the join file."""

    def __init__(self, plan: Plan, note: Callable[[str], None]) -> None:
        """Take the plan, as every placement does."""

    async def place(self, joins: Sequence[Join], lost: Callable[[int, str], None]) -> None:
        """Start nothing: the join file is there for whoever does."""

    async def stop(self) -> None:
        """End nothing: workers end by themselves when the run says so."""


def placement_of(plan: Plan, note: Callable[[str], None]) -> Placement | None:
    """Return what places the workers of `plan`; None when they are forked or in this process.

    Raises:
        SteelyardError: the run type can't be used here, such as one whose extra is missing.
    """
    target = PLACEMENTS.get(plan.run_type)
    if target is None:
        return None
    module, _, name = target.partition(":")
    placement: Placement = getattr(importlib.import_module(module), name)(plan, note)
    return placement


def listen_of(plan: Plan, environ: Mapping[str, str]) -> str:
    """Return where the run listens for its workers: where it was told to, or facing the cluster.

    Raises:
        UsageError: the address of the cluster can't be read.
    """
    given = plan.remote.listen if plan.remote is not None else ""
    if given or plan.engine is None or plan.engine.name != RAY:
        return given or RemotePlan().listen
    head = str(plan.engine.options.get("address") or environ.get(RAY_ADDRESS, ""))
    try:
        host, port = split_address(head)
    except UsageError:
        raise UsageError(
            "Which cluster of Ray is meant is not said" if not head else "This is no cluster",
            got=head or None,
            expected="--ray-address HOST:PORT, as `steelyard fleet join` prints it",
            next_step="Start a head with: steelyard fleet join",
        ) from None
    return local_address_towards(host, port)
