"""A suite's result tells failures from flaky tests, and how long each test takes."""

from steelyard.domain.fleet.junit import Case
from steelyard.domain.fleet.suites import FAILURES_MAX, recorded_durations, suite_result


def run(**cases):
    return [Case(name=name, status=status, seconds=0.5) for name, status in cases.items()]


def test_what_passes_on_a_rerun_is_flaky_and_what_does_not_has_failed():
    first = run(a="passed", b="failed", c="error", d="skipped", e="failed")
    result = suite_result(
        [first, run(b="passed", c="error", e="failed"), run(c="error", e="passed")]
    )
    assert result["flaky"] == ["b", "e"]
    assert [failure["name"] for failure in result["failures"]] == ["c"]
    counts = {
        key: result[key] for key in ("tests", "passed", "failed", "errors", "skipped", "runs")
    }
    assert counts == {"tests": 5, "passed": 3, "failed": 0, "errors": 1, "skipped": 1, "runs": 3}
    assert result["seconds"] == 2.5  # the first run's: reruns are not what the suite takes
    assert sum(counts[key] for key in ("passed", "failed", "errors", "skipped")) == counts["tests"]


def test_of_several_cases_of_one_test_the_worst_counts():
    """Pytest reports a failed tear-down beside the call that passed."""
    cases = [Case(name="a"), Case(name="a", status="error", message="tear-down")]
    result = suite_result([cases])
    assert (result["tests"], result["errors"]) == (1, 1)
    assert result["failures"][0]["message"] == "tear-down"


def test_no_report_is_no_test():
    assert suite_result([])["tests"] == 0


def test_failures_are_bounded_and_still_counted():
    result = suite_result([[Case(name=str(n), status="failed") for n in range(FAILURES_MAX + 5)]])
    assert (len(result["failures"]), result["failed"]) == (FAILURES_MAX, FAILURES_MAX + 5)


def test_durations_are_the_medians_of_the_latest_results():
    earlier = [
        {"durations": {"a": 1.0, "b": 2.0}},
        {"durations": {"a": 9.0}},
        {"durations": {"a": 2}},
    ]
    assert recorded_durations(earlier) == {"a": 2.0, "b": 2.0}
    many = [{"durations": {"a": 1.0}}] * 10 + [{"durations": {"a": 1e9, "z": 1.0}}] * 100
    assert recorded_durations(many) == {"a": 1.0}
