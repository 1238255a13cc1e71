"""A test suite's results: several runs of it, flaky tests, and how long each test takes."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from steelyard.domain.fleet.junit import Case

FAILURES_MAX = 200
DURATIONS_MAX = 20_000
EARLIER_MAX = 10
"""Results that durations are taken from, the latest."""

_BAD = ("failed", "error")


def suite_result(runs: Sequence[Sequence[Case]]) -> dict[str, Any]:
    """Return what a suite came to: its first run, and reruns of what failed in it.

    A test that failed and passed on a rerun is flaky: it is counted as passed and listed by name.
    Of several cases of one name (set-up, call and tear-down of a test) the worst counts.
    """
    first, *reruns = [_by_name(run) for run in runs] or [{}]
    final = dict(first)
    flaky: list[str] = []
    for rerun in reruns:
        for name, case in rerun.items():
            if case.status == "passed" and final.get(name, case).status in _BAD:
                flaky.append(name)
                final[name] = case
    failures = [case for case in final.values() if case.status in _BAD]
    counts = [case.status for case in final.values()]
    return {
        "tests": len(final),
        "passed": counts.count("passed"),
        "failed": counts.count("failed"),
        "errors": counts.count("error"),
        "skipped": counts.count("skipped"),
        "flaky": flaky,
        "failures": [
            {"name": c.name, "status": c.status, "message": c.message, "text": c.text}
            for c in failures[:FAILURES_MAX]
        ],
        "seconds": round(sum(case.seconds for case in first.values()), 6),
        "durations": {
            name: round(case.seconds, 6) for name, case in list(first.items())[:DURATIONS_MAX]
        },
        "runs": len(runs),
    }


def _by_name(cases: Iterable[Case]) -> dict[str, Case]:
    order = ("passed", "skipped", "failed", "error")
    found: dict[str, Case] = {}
    for case in cases:
        before = found.get(case.name)
        if before is None or order.index(case.status) > order.index(before.status):
            found[case.name] = case
    return found


def recorded_durations(earlier: Sequence[Any]) -> dict[str, float]:
    """Return how long each test takes by earlier results, latest first: the median, in seconds."""
    values: dict[str, list[float]] = {}
    for result in earlier[:EARLIER_MAX]:
        durations = result.get("durations") if isinstance(result, Mapping) else None
        for name, seconds in (durations or {}).items():
            values.setdefault(str(name), []).append(float(seconds))
    return {name: median(seconds) for name, seconds in values.items()}
