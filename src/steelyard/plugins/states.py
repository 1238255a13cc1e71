"""The life of a plugin: its states, and the only moves between them."""

from enum import StrEnum

from steelyard.kernel.errors import PluginError


class PluginState(StrEnum):
    """Where a plugin stands. The text is what `steelyard plugins` prints."""

    DISCOVERED = "discovered"
    DISABLED = "disabled"
    MISSING_REQUIREMENT = "missing requirement"
    LOADED = "loaded"
    VALIDATED = "validated"
    INITIALIZED = "initialized"
    STARTED = "started"
    STOPPED = "stopped"
    FAILED = "failed"
    QUARANTINED = "quarantined"


_S = PluginState

TRANSITIONS: dict[PluginState, frozenset[PluginState]] = {
    _S.DISCOVERED: frozenset({_S.LOADED, _S.MISSING_REQUIREMENT, _S.DISABLED, _S.FAILED}),
    _S.DISABLED: frozenset({_S.DISCOVERED}),
    _S.MISSING_REQUIREMENT: frozenset({_S.DISCOVERED, _S.DISABLED}),
    _S.LOADED: frozenset({_S.VALIDATED, _S.DISCOVERED, _S.DISABLED, _S.FAILED}),
    _S.VALIDATED: frozenset(
        {_S.INITIALIZED, _S.DISCOVERED, _S.DISABLED, _S.FAILED, _S.QUARANTINED}
    ),
    _S.INITIALIZED: frozenset({_S.STARTED, _S.STOPPED, _S.FAILED, _S.QUARANTINED}),
    _S.STARTED: frozenset({_S.STOPPED, _S.FAILED, _S.QUARANTINED}),
    _S.STOPPED: frozenset({_S.STARTED, _S.INITIALIZED, _S.DISCOVERED, _S.DISABLED, _S.FAILED}),
    _S.FAILED: frozenset({_S.DISCOVERED, _S.DISABLED}),
    _S.QUARANTINED: frozenset({_S.STOPPED, _S.DISCOVERED, _S.DISABLED, _S.FAILED}),
}
"""From each state, the states that may follow. `discovered` again means: forget and try anew."""

USABLE = frozenset({_S.LOADED, _S.VALIDATED, _S.INITIALIZED, _S.STARTED, _S.STOPPED})
"""States in which the plugin's class is known to import."""


def move(state: PluginState, to: PluginState, *, plugin: str) -> PluginState:
    """Return `to`, when the table allows it after `state`.

    Raises:
        PluginError: the move is not in `TRANSITIONS`; the message lists those that are.
    """
    allowed = TRANSITIONS[state]
    if to not in allowed:
        raise PluginError(
            f"Plugin {plugin} is {state.value} and can't become {to.value}",
            expected="one of " + ", ".join(sorted(s.value for s in allowed)),
        )
    return to
