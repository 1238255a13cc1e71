"""Engines with one fault each."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Any

from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.testing.contracts.engine import EngineSubject

_ENV = ("PATH", "HOME")


class Plain:
    """Conforms: commands as children of this process, each with a group."""

    sends = signal.SIGKILL
    slots = 4

    def __init__(self) -> None:
        self.events: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self.running: dict[int, asyncio.Task[None]] = {}
        self.groups: dict[int, int] = {}
        self.cancelled: set[int] = set()
        self.speaking: asyncio.Task[None] | None = None

    async def start(self) -> Sequence[tuple[str, Capabilities, int]]:
        """Begin with one worker."""
        self.speaking = asyncio.create_task(self.speak())
        return [("plain", Capabilities(), self.slots)]

    async def speak(self) -> None:
        """Say what it works on."""
        while True:
            tokens = tuple(self.running)
            self.events.put_nowait(EngineEvent(kind="heard", worker_id="plain", tokens=tokens))
            await asyncio.sleep(0.2)

    def env(self, payload: dict[str, Any]) -> dict[str, str]:
        """Return the variables of a command."""
        own: dict[str, str] = payload.get("env", {})
        return {n: os.environ[n] for n in _ENV if n in os.environ} | own

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Start a command."""
        self.running[lease.token] = asyncio.create_task(self.carry_out(lease, spec))

    async def carry_out(self, lease: Lease, spec: TaskSpec) -> None:
        """Run a command, and say how it ended."""
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", spec.payload["shell"], env=self.env(spec.payload),
            start_new_session=True, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self.groups[lease.token] = process.pid
        self.say("started", lease)
        ending: Ending | None = None
        try:
            await asyncio.wait_for(process.wait(), spec.timeout_s)
        except TimeoutError:
            ending = Ending.TIMED_OUT
        self.end_group(process.pid)
        await process.wait()
        await asyncio.sleep(0.02)
        self.running.pop(lease.token)
        if lease.token in self.cancelled:
            ending = Ending.CANCELLED
        self.say("ended", lease, self.outcome(ending, process.returncode or 0))

    def outcome(self, ending: Ending | None, code: int) -> Outcome:
        """Return what a command came to."""
        if ending is None:
            ending = Ending.FAILED if code else Ending.SUCCEEDED
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(ending=ending, error=how if code else "", exit_code=code)

    def end_group(self, group: int) -> None:
        """End what is left of a command."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, self.sends)

    def say(self, kind: str, lease: Lease, outcome: Outcome | None = None) -> None:
        """Tell of an attempt."""
        self.events.put_nowait(EngineEvent(kind=kind, lease=lease, outcome=outcome))

    async def cancel(self, lease: Lease) -> None:
        """End a command."""
        if lease.token in self.running and lease.token in self.groups:
            self.cancelled.add(lease.token)
            self.end_group(self.groups[lease.token])

    async def next_event(self) -> EngineEvent:
        """Wait for something to say."""
        return await self.events.get()

    async def stop(self) -> None:
        """End all commands."""
        if self.speaking is not None:
            self.speaking.cancel()
            await asyncio.gather(self.speaking, return_exceptions=True)
        for token in list(self.running):
            self.end_group(self.groups[token])
        await asyncio.gather(*self.running.values())


class Waits(Plain):
    """One attempt at a time, whatever its slots say."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Lock()

    async def carry_out(self, lease: Lease, spec: TaskSpec) -> None:
        """As above, with the fault."""
        async with self.turn:
            await super().carry_out(lease, spec)


class Polite(Plain):
    """Asks to end, and believes that it was heard."""

    sends = signal.SIGTERM

    async def stop(self) -> None:
        """As above; the kit is to end."""
        self.sends = signal.SIGKILL
        await super().stop()


class LeavesChildren(Plain):
    """Ends the shell, not what it started."""

    def end_group(self, group: int) -> None:
        """As above, with the fault."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(group, signal.SIGKILL)


class TellsTwice(Plain):
    """Says each end twice."""

    def say(self, kind: str, lease: Lease, outcome: Outcome | None = None) -> None:
        """As above, with the fault."""
        super().say(kind, lease, outcome)
        if kind == "ended":
            super().say(kind, lease, outcome)


class AllIsWell(Plain):
    """Calls every end a success."""

    def outcome(self, ending: Ending | None, code: int) -> Outcome:
        """As above, with the fault."""
        return Outcome(ending=ending or Ending.SUCCEEDED, exit_code=0)


class Forgetful(Plain):
    """Has no time in mind."""

    async def carry_out(self, lease: Lease, spec: TaskSpec) -> None:
        """As above, with the fault."""
        patient = TaskSpec(task_id=spec.task_id, kind=spec.kind, payload=spec.payload)
        await super().carry_out(lease, patient)


class Generous(Plain):
    """Hands its whole environment down."""

    def env(self, payload: dict[str, Any]) -> dict[str, str]:
        """As above, with the fault."""
        return {**os.environ, **payload.get("env", {})}


class Mute(Plain):
    """Never says that it lives."""

    async def speak(self) -> None:
        """As above, with the fault."""


class CancelledIsFailed(Plain):
    """Takes what it ended itself for a failure."""

    def outcome(self, ending: Ending | None, code: int) -> Outcome:
        """As above, with the fault."""
        return super().outcome(None if ending is Ending.CANCELLED else ending, code)


class LetsGo(Plain):
    """Stops, and what it runs goes on."""

    async def stop(self) -> None:
        """As above, with the fault."""
        if self.speaking is not None:
            self.speaking.cancel()
            await asyncio.gather(self.speaking, return_exceptions=True)
        for task in self.running.values():
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)
        self.running.clear()


def _subject(cls: Any) -> EngineSubject:
    return EngineSubject(cls, lambda _: cls(), slack_s=1.0)


HONEST = _subject(Plain)

_CANCEL = "test_a_cancelled_attempt_ends_within_a_second"
SABOTEURS = [
    ("test_attempts_run_side_by_side", _subject(Waits)),
    (_CANCEL, _subject(Polite)),
    (_CANCEL, _subject(LeavesChildren)),
    (_CANCEL, _subject(CancelledIsFailed)),
    ("test_nothing_of_an_attempt_survives_it", _subject(LeavesChildren)),
    ("test_an_attempt_starts_and_ends_once", _subject(TellsTwice)),
    ("test_failures_are_told_apart", _subject(AllIsWell)),
    ("test_a_timeout_ends_an_attempt", _subject(Forgetful)),
    ("test_no_secret_of_the_coordinator_is_handed_down", _subject(Generous)),
    ("test_workers_are_heard_with_what_they_work_on", _subject(Mute)),
    ("test_stop_ends_all_attempts", _subject(LetsGo)),
]
