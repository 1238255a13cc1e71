"""A plugin for pytest, of one file: runs a shard of a suite, or only named tests, and tells which.

A task's own Python loads it, which needs nothing of Steelyard: standard library and pytest only.
`SELECTION` names a JSON file: `only` lists tests; or `shard` of `shards`, with the `durations` that
are known. All shards that are given the same collect the same and agree on who runs what.
"""

import json
import os
from pathlib import Path
from statistics import median
from typing import Any

SELECTION = "STEELYARD_PYTEST_SELECTION"
NODE_PROPERTY = "steelyard_node"
"""The property of a test's case in the JUnit report that holds its full name."""


def shard_of(
    names: list[str], durations: dict[str, float], shard: int, shards: int, *, grouped: bool = False
) -> set[str]:
    """Return the tests of one shard: the longest first, each to the shard with the least so far.

    Args:
        names: of all tests.
        durations: seconds by name; tests without one count as the median of the others.
        shard: 1 for the first.
        shards: how many there are.
        grouped: the tests of a file stay together, as their fixtures may be the file's.

    This is the rule "longest processing time first" (R. L. Graham, Bounds on Multiprocessing
    Timing Anomalies, 1969): no shard lasts longer than 4/3 of the best division.
    """
    usual = median(durations.values()) if durations else 1.0
    weights: dict[str, float] = {}
    groups: dict[str, list[str]] = {}
    for name in names:
        group = name.partition("::")[0] if grouped else name
        groups.setdefault(group, []).append(name)
        weights[group] = weights.get(group, 0.0) + durations.get(name, usual)
    loads = [0.0] * shards
    counts = [0] * shards
    mine: set[str] = set()
    for group in sorted(groups, key=lambda name: (-weights[name], name)):
        place = min(range(shards), key=lambda n: (loads[n], counts[n], n))
        loads[place] += weights[group]
        counts[place] += len(groups[group])
        if place == shard - 1:
            mine.update(groups[group])
    return mine


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Deselect what others run, and have the report name the tests whole."""
    said = json.loads(Path(os.environ[SELECTION]).read_text(encoding="utf-8"))
    names = [item.nodeid for item in items]
    if "only" in said:
        wanted = set(said["only"])
    else:
        durations = {name: float(value) for name, value in said["durations"].items()}
        grouped = bool(said["grouped"])
        wanted = shard_of(names, durations, said["shard"], said["shards"], grouped=grouped)
    others = [item for item in items if item.nodeid not in wanted]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.nodeid in wanted]
    for item in items:
        item.user_properties.append((NODE_PROPERTY, item.nodeid))
