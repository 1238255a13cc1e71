"""The tables of states say all that can happen, and only that."""

import pytest

from steelyard.domain.fleet.states import (
    TASK_ENDS,
    TASK_HELD,
    TASK_TABLE,
    FleetStateError,
    TaskState,
    TaskStep,
    WorkerState,
    WorkerStep,
    task_after,
    worker_after,
)


def test_an_ended_task_takes_no_step():
    for state in TASK_ENDS:
        for step in TaskStep:
            with pytest.raises(FleetStateError, match=f"that is {state} can't {step}"):
                task_after(state, step)


def test_every_state_can_be_reached_and_left_or_is_an_end():
    reached = {TaskState.PENDING, *TASK_TABLE.values()}
    left = {state for state, _ in TASK_TABLE}
    assert reached == set(TaskState)
    assert left == set(TaskState) - TASK_ENDS


def test_an_attempt_whose_start_was_never_told_ends_in_every_way():
    ends = {TaskStep.COMPLETE, TaskStep.FAIL, TaskStep.RETURN, TaskStep.CANCEL, TaskStep.BURY}
    for state in TASK_HELD:
        assert {step for at, step in TASK_TABLE if at is state} >= ends


def test_a_worker_may_come_back_from_anywhere():
    for state in set(WorkerState) - {WorkerState.ALIVE}:
        assert worker_after(state, WorkerStep.HEAR) is WorkerState.ALIVE
    with pytest.raises(FleetStateError, match="gone can't miss"):
        worker_after(WorkerState.GONE, WorkerStep.MISS)
