"""What `profile` says of a run that was tracked or streamed."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.app.bench_tracking.tracking import Tracked
    from steelyard.app.otel_streaming import Streamed


def print_told(tracked: "Tracked | None", streamed: "Streamed | None") -> None:
    """Say on standard error where the run is, how far each tracker is, and what is missing."""
    lines = tracked_lines(tracked) if tracked is not None else []
    lines += streamed_lines(streamed) if streamed is not None else []
    print("\n".join(lines), file=sys.stderr)


def streamed_lines(streamed: "Streamed") -> list[str]:
    """Return what a collector was told, and what not."""
    if streamed.problem:
        return [f"error: not streamed: {streamed.problem}"]
    lines = [f"Streamed {streamed.requests:,} requests to the collector"]
    if streamed.left:
        lines.append(f"Of the requests {streamed.left:,} were left when time was up")
    if streamed.dropped:
        lines.append(f"Of the looks at phases {streamed.dropped:,} were lost in a full queue")
    return lines


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
