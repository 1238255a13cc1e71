"""The contract of a phase hook: asynchronous, quick to yield, and sure of nothing."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.ports import PhaseHook
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.testing.contracts.kit import Contract, require

EVENTS = (
    "on_phase_start", "on_phase_sending_complete", "on_phase_complete", "on_phase_timeout",
)  # fmt: skip
_CALL_S_MAX = 2.0
_BLOCKED_S_MAX = 0.1


class SampleTracker:
    """A tracker of a phase at one of its events."""

    def __init__(self, event: str, phase: str = "profiling") -> None:
        is_over = event in ("on_phase_complete", "on_phase_timeout")
        self.stats = PhaseStats(
            phase=phase,
            phase_index=0,
            sent=0 if event == "on_phase_start" else 100,
            completed=98 if is_over else 0,
            failed=1 if is_over else 0,
            cancelled=1 if is_over else 0,
            in_flight=0 if is_over or event == "on_phase_start" else 100,
            sessions=0 if event == "on_phase_start" else 10,
            start_ns=1_000_000_000,
            sent_end_ns=None if event == "on_phase_start" else 6_200_000_000,
            end_ns=8_100_000_000 if is_over else None,
        )

    def create_stats(self) -> PhaseStats:
        """Return the counts of that moment."""
        return self.stats


@dataclass(frozen=True)
class PhaseHookSubject:
    """A phase hook; `make` builds it when its class takes arguments."""

    cls: type[Any]
    make: Callable[[], Any] | None = None

    def new(self) -> PhaseHook:
        """Return a new hook."""
        hook: PhaseHook = self.make() if self.make is not None else self.cls()
        return hook


async def _notify(hook: Any, events: Sequence[str], phase: str = "profiling") -> float:
    """Tell `hook` of `events`; return the longest time the loop stood still, in seconds."""
    longest_s = 0.0
    loop = asyncio.get_running_loop()
    for event in events:
        method = getattr(hook, event, None)
        if method is None:
            continue
        began = loop.time()
        task = asyncio.ensure_future(_call(method, phase, SampleTracker(event, phase)))
        # A clock outside of the loop: a sleep that a test makes instant would measure nothing.
        while not task.done():
            step = loop.time()
            await asyncio.wait({task}, timeout=0.005)
            longest_s = max(longest_s, loop.time() - step - 0.005)
            is_late = not task.done() and loop.time() - began >= _CALL_S_MAX
            require(not is_late, f"{event} takes more than {_CALL_S_MAX} s")
        task.result()
    return longest_s


async def _call(method: Any, phase: str, tracker: SampleTracker) -> None:
    result = method(phase, tracker)
    if inspect.isawaitable(result):
        await result


def _run(hook: Any, events: Sequence[str] = EVENTS[:3]) -> float:
    """Run `_notify` on a loop in a thread of its own: the caller may be inside a loop."""
    box: list[float | SteelyardError] = []

    def work() -> None:
        try:
            with PluginBorder().crossing(type(hook).__name__, "follow a phase"):
                box.append(asyncio.run(_notify(hook, events)))
        except SteelyardError as error:
            box.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10 * _CALL_S_MAX)
    require(box, "the hook did not come back")
    if isinstance(box[0], SteelyardError):
        raise AssertionError(str(box[0])) from box[0].__cause__  # noqa: TRY004  a failed claim
    return box[0]


class PhaseHookContract(Contract):
    """Inherit, and override `subject` with a `PhaseHookSubject`."""

    kind = "phase_hook"

    def test_its_methods_are_asynchronous(self, subject: PhaseHookSubject) -> None:
        """Each event method is `async def`."""
        for event in EVENTS:
            method = getattr(subject.new(), event, None)
            if method is not None:
                require(inspect.iscoroutinefunction(method), f"{event} is not async")

    def test_a_phase_passes_without_an_error(self, subject: PhaseHookSubject) -> None:
        """Start, sending complete, complete, with times that are None until they happened."""
        _run(subject.new())

    def test_a_phase_may_time_out(self, subject: PhaseHookSubject) -> None:
        """The timeout comes instead of completion, perhaps before all was sent."""
        _run(subject.new(), ("on_phase_start", "on_phase_timeout"))

    def test_a_hook_may_join_late(self, subject: PhaseHookSubject) -> None:
        """Completion without a start, and the same phase twice, raise nothing."""
        hook = subject.new()
        _run(hook, ("on_phase_complete",))
        _run(hook, EVENTS[:3])
        _run(hook, EVENTS[:3])

    def test_the_loop_is_never_blocked(self, subject: PhaseHookSubject) -> None:
        """File and network I/O go to a thread: the timing machine shares this loop."""
        # The best of some: the machine that tests it may be busy with something else.
        blocked_s = min(_run(subject.new()) for _ in range(3))
        require(
            blocked_s < _BLOCKED_S_MAX,
            f"the event loop stood still for {blocked_s:.2f} s each time",
        )
