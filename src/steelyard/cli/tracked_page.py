"""What `profile` says of a run that was tracked."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.app.bench_tracking.tracking import Tracked


def print_tracked(tracked: "Tracked") -> None:
    """Say on standard error where the run is, how far each tracker is, and what is missing."""
    print("\n".join(tracked_lines(tracked)), file=sys.stderr)


def tracked_lines(tracked: "Tracked") -> list[str]:
    """Return it, one line each: the run, its trackers, what was dropped, what went wrong."""
    lines = [f"Tracked as {tracked.run_id} in {tracked.directory}"]
    behind = False
    for label, mirror in tracked.mirrors.items():
        line = f"  {label}: {mirror.delivered:,} delivered"
        if mirror.dropped:
            line += f", {mirror.dropped:,} refused"
        if not mirror.closed:
            behind = True
            line += ", not done" + (f": {mirror.error}" if mirror.error else "")
        lines.append(line)
    if behind:
        lines.append(f"The rest goes on by itself, or by: steelyard track sync {tracked.run_id}")
    missing = {"a full queue": tracked.dropped, "a dead process": tracked.lost}
    for where, count in missing.items():
        if count:
            lines.append(f"Of {tracked.told:,} live figures {count:,} were lost in {where}")
    return [*lines, *(f"error: not tracked: {problem}" for problem in tracked.problems)]
