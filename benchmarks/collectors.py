"""What collectors cost: processor time beside the script, as a share of one processor.

    python -m benchmarks.collectors [--quick] [--write]

Each row is a process of its own that does nothing but wait inside a run, and asks the kernel for
its CPU time and its children's before and after; the first is the same process without collectors.
Imports and facts are over by then: what they cost once is in a column of its own, beyond that of
the first row.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.tables import page, parser, publish, table

SECONDS = 60
SETTLE_S = 3.0

PROGRAM = """
import json, resource, sys, time

from steelyard.track import Experiment


def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


collectors, seconds, settle_s, directory = json.loads(sys.argv[1])
begun = used()
with Experiment("cost", directory=directory, collectors=collectors) as experiment:
    time.sleep(settle_s)
    settled, wall = used(), time.monotonic()
    time.sleep(seconds)
    after, elapsed_s = used(), time.monotonic() - wall
values = sum(series.count for series in experiment.snapshot().metrics.values())
print(json.dumps([settled - begun, (after - settled) / elapsed_s, values]))
"""

CASES: list[tuple[str, Any]] = [
    ("none", False),
    ("the usual ones, 1 a second", True),
    ("system, 1 a second", "system"),
    ("process, 1 a second", "process"),
    ("the usual ones, 10 a second",
     ["default", {name: {"period_s": 0.1} for name in ("system", "process")}]),
    ("system, 10 a second", {"system": {"period_s": 0.1}}),
    ("process, 10 a second", {"process": {"period_s": 0.1}}),
    ("estimate by codecarbon, 1 a second", {"energy": {"estimate": True}}),
]  # fmt: skip


def _measure(collectors: Any, seconds: float, directory: Path) -> tuple[float, float, int]:
    """Return CPU seconds until settled, CPU seconds a second after, and how many values came."""
    told = json.dumps([collectors, seconds, SETTLE_S, str(directory)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, told], check=True, capture_output=True, text=True
    )
    once_s, share, values = json.loads(done.stdout.splitlines()[-1])
    return float(once_s), float(share), int(values)


def main() -> None:
    """Measure and publish."""
    asked = parser(__doc__).parse_args()
    seconds = SECONDS / 10 if asked.quick else SECONDS
    rows = []
    base_s = 0.0
    with tempfile.TemporaryDirectory() as name:
        for label, collectors in CASES:
            once_s, share, values = _measure(collectors, seconds, Path(name))
            base_s = base_s or once_s
            rows.append(
                [label, f"{100 * share:.2f} %", f"{values}", f"{1000 * (once_s - base_s):.0f}"]
            )
    text = page(
        "Collectors",
        f"Processor time over {seconds:.0f} s of a run that does nothing else, as a share of one "
        "processor; and once, at the run's beginning, beyond that of a run without collectors.",
        [table(["collectors", "of a processor", "values", "once, CPU ms"], rows)],
    )
    publish("collectors", text, asked)


if __name__ == "__main__":
    main()
