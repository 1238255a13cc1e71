"""The table of a service's life."""

from itertools import product

import pytest

from steelyard.kernel.lifecycle import (
    TRANSITIONS,
    IllegalTransitionError,
    ServiceState,
    Step,
    advance,
    legal_steps,
)

LIFE = [
    (Step.INITIALIZE, "initializing"),
    (Step.DONE, "initialized"),
    (Step.RUN, "ready"),
    (Step.CONFIGURE, "configuring"),
    (Step.DONE, "configured"),
    (Step.START, "starting"),
    (Step.DONE, "running"),
    (Step.STOP, "stopping"),
    (Step.DONE, "stopped"),
    (Step.CLEANUP, "cleaning"),
    (Step.DONE, "closed"),
]


def test_a_whole_life_passes_every_step_in_order():
    state = ServiceState.CREATED
    for step, expected in LIFE:
        state = advance("w", state, step)
        assert state == expected


@pytest.mark.parametrize(
    ("state", "step"),
    [pair for pair in product(ServiceState, Step) if pair not in TRANSITIONS],
)
def test_a_pair_outside_the_table_is_refused_with_what_would_be_legal(state, step):
    with pytest.raises(IllegalTransitionError) as caught:
        advance("worker_1", state, step)
    assert (caught.value.state, caught.value.step) == (state, step)
    text = str(caught.value)
    assert text.startswith(f"worker_1 can't {step} while it is {state}")
    assert all(legal in text for legal in legal_steps(state))


def test_nothing_leaves_closed_and_a_failure_leaves_only_by_cleanup():
    assert legal_steps(ServiceState.CLOSED) == ()
    assert legal_steps(ServiceState.FAILED) == (Step.CLEANUP,)


def test_every_state_can_be_reached_and_every_life_can_end():
    reached = {ServiceState.CREATED, *TRANSITIONS.values()}
    assert reached == set(ServiceState)
    for state in ServiceState:
        seen, todo = {state}, [state]
        while todo:
            here = todo.pop()
            for (source, _), target in TRANSITIONS.items():
                if source is here and target not in seen:
                    seen.add(target)
                    todo.append(target)
        assert ServiceState.CLOSED in seen, state
