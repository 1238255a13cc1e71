"""The life of a service: its states, its steps, and the table of which step is legal when."""

from enum import StrEnum

from steelyard.kernel.errors import SteelyardError


class ServiceState(StrEnum):
    """Where a service stands. Names ending in `ing` are steps under way."""

    CREATED = "created"
    INITIALIZING = "initializing"
    INITIALIZED = "initialized"
    READY = "ready"
    CONFIGURING = "configuring"
    CONFIGURED = "configured"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CLEANING = "cleaning"
    CLOSED = "closed"
    FAILED = "failed"


class Step(StrEnum):
    """What moves a service: six steps of a life, `done` (the step under way ended), `fail`."""

    INITIALIZE = "initialize"
    RUN = "run"
    CONFIGURE = "configure"
    START = "start"
    STOP = "stop"
    CLEANUP = "cleanup"
    DONE = "done"
    FAIL = "fail"


_S = ServiceState

TRANSITIONS: dict[tuple[ServiceState, Step], ServiceState] = {
    (_S.CREATED, Step.INITIALIZE): _S.INITIALIZING,
    (_S.INITIALIZING, Step.DONE): _S.INITIALIZED,
    (_S.INITIALIZED, Step.RUN): _S.READY,
    (_S.READY, Step.CONFIGURE): _S.CONFIGURING,
    (_S.CONFIGURING, Step.DONE): _S.CONFIGURED,
    (_S.CONFIGURED, Step.START): _S.STARTING,
    (_S.STARTING, Step.DONE): _S.RUNNING,
    (_S.STOPPING, Step.DONE): _S.STOPPED,
    (_S.CLEANING, Step.DONE): _S.CLOSED,
    # A stop may come at any point of a life that has begun; a step under way is then cut short.
    **{
        (state, Step.STOP): _S.STOPPING
        for state in (
            _S.INITIALIZING,
            _S.INITIALIZED,
            _S.READY,
            _S.CONFIGURING,
            _S.CONFIGURED,
            _S.STARTING,
            _S.RUNNING,
        )
    },
    **{
        (state, Step.CLEANUP): _S.CLEANING
        for state in (_S.CREATED, _S.INITIALIZED, _S.STOPPED, _S.FAILED)
    },
    **{(state, Step.FAIL): _S.FAILED for state in _S if state not in (_S.CLOSED, _S.FAILED)},
}
"""`(state, step) -> next state`; a pair that is not here is illegal."""


class IllegalTransitionError(SteelyardError):
    """A service was asked for a step that its state doesn't allow.

    Attributes:
        state: where the service stands; it stays there.
        step: what was asked.
    """

    def __init__(self, who: str, state: ServiceState, step: Step) -> None:
        self.state = state
        self.step = step
        legal = ", ".join(legal_steps(state)) or "nothing more"
        super().__init__(
            f"{who} can't {step} while it is {state}",
            got=str(step),
            expected=legal,
            next_step="Steps come in the order initialize, run, configure, start, stop, cleanup.",
        )


def legal_steps(state: ServiceState) -> tuple[Step, ...]:
    """Return the steps that `state` allows, in the order of a life."""
    return tuple(step for step in Step if (state, step) in TRANSITIONS)


def advance(who: str, state: ServiceState, step: Step) -> ServiceState:
    """Return the state after `step`.

    Raises:
        IllegalTransitionError: the table has no such transition.
    """
    following = TRANSITIONS.get((state, step))
    if following is None:
        raise IllegalTransitionError(who, state, step)
    return following
