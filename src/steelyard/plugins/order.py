"""In which order plugins start: those they name first."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from steelyard.kernel.errors import PluginError, did_you_mean


def start_order(needs: Mapping[str, Sequence[str]], wanted: Sequence[str] = ()) -> list[str]:
    """Return names so that each comes after those it needs; ties keep the order given.

    Args:
        needs: every known name, with the names that must start before it.
        wanted: the names to start, with what they need; all of `needs` when empty.

    Raises:
        PluginError: a name is unknown, or plugins wait for each other in a circle.
    """
    graph: dict[str, Sequence[str]] = {}
    queue = list(wanted) or list(needs)
    asked_by = dict.fromkeys(queue, "")
    for name in queue:
        if name not in needs:
            who = f"Plugin '{asked_by[name]}' needs" if asked_by[name] else "There is no"
            raise PluginError(
                f"{who} plugin '{name}'" + (", which is not installed" if asked_by[name] else ""),
                expected="one of " + ", ".join(sorted(needs)) if needs else None,
                next_step=did_you_mean(name, needs) or None,
            )
        graph[name] = needs[name]
        for other in needs[name]:
            if other not in asked_by:
                asked_by[other] = name
                queue.append(other)
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise PluginError(
            f"Plugins wait for each other: {circle}",
            next_step="Take one of these names out of its `plugins` list.",
        ) from None
