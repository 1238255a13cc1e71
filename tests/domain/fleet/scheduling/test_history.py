"""Predictions rest on what a worker took, then on what its like took, then on the estimate."""

import pytest

from steelyard.domain.fleet.model import Attempt, Ending, Outcome, TaskSpec, Worker
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.scheduling.history import UNKNOWN_S, History, type_of

FAST = Worker(worker_id="fast", capabilities=Capabilities(speed=2.0))
PLAIN = Worker(worker_id="plain", capabilities=Capabilities())


def spec(**more):
    return TaskSpec(task_id="t", kind="command", **more)


def attempt(worker, seconds, ending=Ending.SUCCEEDED):
    outcome = Outcome(ending=ending, seconds=seconds)
    return Attempt(task_id="t", attempt=1, token=1, worker_id=worker, leased_ns=0, outcome=outcome)


def test_without_history_the_estimate_over_the_speed_is_all_there_is():
    history = History()
    assert history.predict_s(spec(estimate_s=30), FAST) == 15
    assert history.predict_s(spec(), PLAIN) == UNKNOWN_S


def test_what_a_worker_took_scales_with_the_estimate():
    history = History()
    history.note(spec(estimate_s=10), attempt("fast", 20), FAST)
    assert history.predict_s(spec(estimate_s=30), FAST) == pytest.approx(60)


def test_what_one_worker_took_serves_for_another_by_their_speeds():
    history = History()
    history.note(spec(estimate_s=10), attempt("fast", 20), FAST)
    assert history.predict_s(spec(estimate_s=10), PLAIN) == pytest.approx(40)


def test_only_the_last_so_many_count():
    history = History(2)
    for seconds in (1000, 10, 30):
        history.note(spec(estimate_s=10), attempt("plain", seconds), PLAIN)
    assert history.predict_s(spec(estimate_s=10), PLAIN) == pytest.approx(20)


@pytest.mark.parametrize("ending", [each for each in Ending if each is not Ending.SUCCEEDED])
def test_what_did_not_succeed_says_nothing(ending):
    history = History()
    history.note(spec(), attempt("plain", 1, ending), PLAIN)
    assert len(history) == 0


def test_tasks_are_alike_by_kind_and_the_label_type():
    assert type_of(spec()) == "command"
    assert type_of(spec(labels={"type": "train", "rack": "1"})) == "command/train"
