"""Facts, folded into a run."""

import math

import pytest

from steelyard.domain.track.events import (
    ArtifactLogged,
    Failure,
    MetricsLogged,
    ParamsLogged,
    RunEnded,
    RunStarted,
    TagsSet,
)
from steelyard.domain.track.run import Kept, RunFold, Series, Status, settle

START = RunStarted(name="n", project="p", tags={"a": "1"}, command="train.py")


def folded(*facts):
    fold = RunFold("r")
    for number, fact in enumerate(facts):
        fold.apply(fact, 10 + number)
    return fold.run


def test_a_finished_run_says_when_it_was():
    run = folded(START, RunEnded(status="finished"))
    assert (run.status, run.started_ns, run.ended_ns) == (Status.FINISHED, 10, 11)
    assert (run.name, run.project, run.command, run.tags) == ("n", "p", "train.py", {"a": "1"})


def test_a_failed_run_keeps_its_exception():
    failure = Failure(type="ValueError", message="boom", traceback="...")
    run = folded(START, RunEnded(status="failed", failure=failure))
    assert (run.status, run.failure) == (Status.FAILED, failure)


@pytest.mark.parametrize(("has_writer", "status"), [(True, "running"), (False, "killed")])
def test_a_journal_that_just_ends_is_a_run_that_runs_or_was_killed(has_writer, status):
    run = settle(folded(START), has_writer=has_writer)
    assert (run.status, run.ended_ns, run.last_ns) == (status, None, 10)


def test_an_ended_run_without_a_writer_is_as_it_ended():
    assert settle(folded(START, RunEnded(status="finished")), has_writer=False).status == "finished"


def test_a_resumed_run_runs_again_and_began_when_it_first_did():
    again = RunStarted(name="n", project="p", resumed=True)
    run = folded(START, RunEnded(status="failed", failure=Failure(type="E")), again)
    assert (run.status, run.started_ns, run.ended_ns, run.failure) == ("running", 10, None, None)


def test_the_last_value_is_that_of_the_highest_step():
    run = folded(
        START,
        *(MetricsLogged(step, {"m": value}) for step, value in [(0, 1.0), (5, 3.0), (2, 9.0)]),
    )
    assert run.metrics["m"] == Series(count=3, last=3.0, last_step=5, low=1.0, high=9.0)


def test_of_two_values_at_one_step_the_later_counts():
    run = folded(START, MetricsLogged(0, {"m": 1.0}), MetricsLogged(0, {"m": 2.0}))
    assert run.metrics["m"].last == 2.0


def test_nan_and_infinities_are_counted_and_spoil_no_extreme():
    values = [math.nan, 2.0, math.inf, -math.inf]
    run = folded(START, *(MetricsLogged(i, {"m": v}) for i, v in enumerate(values)))
    series = run.metrics["m"]
    assert (series.count, series.non_finite, series.low, series.high) == (4, 3, 2.0, 2.0)


def test_later_parameters_and_tags_replace_earlier_ones():
    run = folded(START, ParamsLogged({"a": 1, "b": 2}), ParamsLogged({"a": 3}), TagsSet({"a": "2"}))
    assert (run.params, run.tags) == ({"a": 3, "b": 2}, {"a": "2"})


def test_an_artifact_of_the_same_name_is_a_new_version():
    one = ArtifactLogged(name="m", sha256="aa", size=1)
    two = ArtifactLogged(name="m", sha256="bb", size=2)
    assert folded(START, one, two).artifacts == [
        Kept(name="m", sha256="aa", size=1, wall_ns=11, version=1),
        Kept(name="m", sha256="bb", size=2, wall_ns=12, version=2),
    ]
