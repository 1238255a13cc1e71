"""Plugins move between states by the table only."""

import pytest

from steelyard.kernel.errors import PluginError
from steelyard.plugins.states import TRANSITIONS, PluginState, move


@pytest.mark.parametrize("state", PluginState)
@pytest.mark.parametrize("to", PluginState)
def test_a_move_is_allowed_exactly_when_the_table_says_so(state, to):
    if to in TRANSITIONS[state]:
        assert move(state, to, plugin="endpoint 'x'") is to
    else:
        with pytest.raises(PluginError, match="endpoint 'x' is .* and can't become"):
            move(state, to, plugin="endpoint 'x'")


def test_every_state_can_be_left_and_reached():
    """No state is a trap, none is out of reach."""
    assert all(TRANSITIONS[state] for state in PluginState)
    reached = set().union(*TRANSITIONS.values())
    assert reached == set(PluginState)


def test_nothing_starts_before_it_is_initialized():
    starters = {s for s in PluginState if PluginState.STARTED in TRANSITIONS[s]}
    assert starters == {PluginState.INITIALIZED, PluginState.STOPPED}
