"""The contract of an engine: attempts start, end once, and leave nothing; workers are heard.

It runs real commands, by the kind of task `command`, which every engine must carry out.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import Engine, EngineEvent
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.runtime.fleet.local_processes import end_marked
from steelyard.testing.contracts.kit import Contract, require

EVENTS = frozenset({"started", "ended", "heard", "worker_joined", "worker_died"})
CANCEL_WITHIN_S = 1.0
GONE_S = 1.0
"""How long what was killed may take to be gone."""
GONE_LOOKS = 50
SECRET = "STEELYARD_KIT_TOKEN"  # noqa: S105  the name of a variable
_MARK = "kit-8d1f6a3b9c40"
_MINE = "STEELYARD_KIT_BENCH"
_LONG = "sleep 120"


@dataclass(frozen=True)
class EngineSubject:
    """An engine.

    Attributes:
        cls: its class.
        make: returns a new one that keeps its files in this directory, and has a worker with two
            slots or more that speaks once a second or more often.
        kill_worker: kills a worker as SIGKILL does; None where an engine's workers can't die alone.
        slack_s: what a busy machine may add to each time that is held against the engine.
        start_s: how long it may take to begin, and to end.
    """

    cls: type[Engine]
    make: Callable[[Path], Engine]
    kill_worker: Callable[[Any], None] | None = None
    slack_s: float = 2.0
    start_s: float = 30.0


class Bench:
    """A started engine: submits commands, and keeps what it says."""

    def __init__(self, engine: Engine, worker_id: str, slots: int, directory: Path) -> None:
        self.engine = engine
        self.worker_id = worker_id
        self.slots = slots
        self.directory = directory
        self.events: list[EngineEvent] = []
        self.changed = asyncio.Event()
        self._token = 0

    async def listen(self) -> None:
        """Take events for as long as they come."""
        while True:
            event = await self.engine.next_event()
            require(isinstance(event, EngineEvent), f"next_event returned {event!r}")
            require(event.kind in EVENTS, f"there is no event {event.kind}")
            self.events.append(event)
            self.changed.set()

    async def submit(self, shell: str, timeout_s: float = 60.0, **fields: Any) -> Lease:
        """Submit a text for the shell; return its lease."""
        self._token += 1
        name = f"task {self._token}/ü"
        lease = Lease(task_id=name, worker_id=self.worker_id, attempt=1, token=self._token)
        env = {_MINE: str(self.directory), **fields.pop("env", {})}
        payload = {"shell": shell, "env": env, **fields}
        spec = TaskSpec(task_id=name, kind="command", payload=payload, timeout_s=timeout_s)
        begun_s = time.monotonic()
        await self.engine.submit(lease, spec)
        took_s = time.monotonic() - begun_s
        require(took_s < 10.0, f"submit took {took_s:.1f} s, as if it waited for the end")
        return lease

    def said(self, kind: str, lease: Lease) -> list[EngineEvent]:
        """Return what was said of an attempt."""
        return [e for e in self.events if e.kind == kind and e.lease == lease]

    async def until(self, condition: Callable[[], Any], within_s: float, claim: str) -> None:
        """Wait for something that an event brings."""
        deadline_s = time.monotonic() + within_s
        while not condition():
            left_s = deadline_s - time.monotonic()
            require(left_s > 0, f"{claim} within {within_s:g} s")
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), min(left_s, 0.05))

    async def outcome(self, lease: Lease, within_s: float = 30.0) -> Outcome:
        """Return how an attempt ended."""
        await self.until(lambda: self.said("ended", lease), within_s, "the attempt did not end")
        outcome = self.said("ended", lease)[0].outcome
        require(isinstance(outcome, Outcome), f"it ended with {outcome!r}, not an Outcome")
        return outcome  # type: ignore[return-value]  # just looked at

    async def file(self, name: str, within_s: float = 30.0) -> str:
        """Return what a command wrote into a file, as soon as it is there."""
        path = self.directory / name
        await self.until(
            lambda: path.exists() and path.read_text(), within_s, f"no command wrote {name}"
        )
        return path.read_text().strip()


async def _are_gone(pids: Sequence[int]) -> bool:
    """Tell whether none of them lives; what was killed may take a moment to be gone."""
    for _ in range(GONE_LOOKS):
        if not any(map(_alive, pids)):
            return True
        await asyncio.sleep(GONE_S / GONE_LOOKS)
    return False


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@contextlib.asynccontextmanager
async def _bench(subject: EngineSubject, place: Path) -> AsyncIterator[Bench]:
    files = place / "files"
    files.mkdir()
    engine = subject.make(place / "fleet")
    workers = list(await asyncio.wait_for(engine.start(), subject.start_s))
    bench = Bench(engine, "", 0, files)
    listening = asyncio.create_task(bench.listen())
    try:
        if not workers:
            joined = [bench.events]
            await bench.until(
                lambda: [e for e in joined[0] if e.kind == "worker_joined"],
                subject.start_s,
                "no worker joined",
            )
            event = next(e for e in bench.events if e.kind == "worker_joined")
            workers = [(event.worker_id, event.capabilities or Capabilities(), event.slots)]
        bench.worker_id, _, bench.slots = workers[0]
        yield bench
        if listening.done():
            listening.result()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        try:
            await asyncio.wait_for(engine.stop(), subject.start_s)
        finally:
            # What a bad engine leaves must not outlive its test.
            await asyncio.to_thread(end_marked, str(files), _MINE)


def _run(subject: EngineSubject, body: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        with tempfile.TemporaryDirectory() as name:
            async with _bench(subject, Path(name)) as bench:
                await body(bench)

    asyncio.run(whole())


class EngineContract(Contract):
    """Inherit, and override `subject` with an `EngineSubject`."""

    kind = "engine"

    def test_it_brings_workers_with_capabilities(self, subject: EngineSubject) -> None:
        """From `start`, or as they join."""

        async def whole() -> None:
            with tempfile.TemporaryDirectory() as name:
                engine = subject.make(Path(name))
                for worker_id, has, slots in await engine.start():
                    require(worker_id, "a worker has no name")
                    require(isinstance(has, Capabilities), f"{worker_id} has {has!r}")
                    require(slots >= 1, f"worker {worker_id} has {slots} slots")
                    require(has.cpu_cores > 0, f"worker {worker_id} has no processor")
                await asyncio.wait_for(engine.stop(), subject.start_s)
                await asyncio.wait_for(engine.stop(), subject.start_s)  # once more harms nothing

        asyncio.run(whole())

    def test_an_attempt_starts_and_ends_once(self, subject: EngineSubject) -> None:
        """First `started`, then `ended` with how; both name the lease, and neither comes twice."""

        async def body(bench: Bench) -> None:
            leases = [await bench.submit("echo out; echo err >&2") for _ in range(2)]
            for lease in leases:
                outcome = await bench.outcome(lease)
                good = outcome.ending is Ending.SUCCEEDED and outcome.exit_code == 0
                require(good, f"echo came to {outcome}")
            await asyncio.sleep(0.2)
            for lease in leases:
                kinds = [e.kind for e in bench.events if e.lease == lease]
                require(kinds == ["started", "ended"], f"it said {', '.join(kinds)} of an attempt")

        _run(subject, body)

    def test_failures_are_told_apart(self, subject: EngineSubject) -> None:
        """An exit code, a signal, and a program that is not there; each with a sentence."""

        async def body(bench: Bench) -> None:
            for shell, codes, word in (
                ("exit 3", {3}, "3"),
                ("kill -SEGV $$", {-11}, "SIGSEGV"),
                ("exec /no/such/program", {126, 127}, ""),
            ):
                outcome = await bench.outcome(await bench.submit(shell))
                require(outcome.ending is Ending.FAILED, f"{shell} is {outcome.ending}")
                require(outcome.exit_code in codes, f"{shell} has code {outcome.exit_code}")
                require(outcome.error, f"{shell} failed without a word")
                require(word in outcome.error, f"{shell} failed with {outcome.error!r}")

        _run(subject, body)

    def test_attempts_run_side_by_side(self, subject: EngineSubject) -> None:
        """As many as there are slots: these two wait for each other."""

        async def body(bench: Bench) -> None:
            require(bench.slots >= 2, f"the worker has {bench.slots} slots; the kit needs 2")
            there = bench.directory
            wait = "while [ ! -e {0}/{1} ]; do sleep 0.02; done"
            one = await bench.submit(f"touch {there}/a; " + wait.format(there, "b"), 6.0)
            two = await bench.submit(f"touch {there}/b; " + wait.format(there, "a"), 6.0)
            for lease in (one, two):
                outcome = await bench.outcome(lease)
                require(outcome.ending is Ending.SUCCEEDED, f"they did not meet: {outcome.error}")

        _run(subject, body)

    def test_a_cancelled_attempt_ends_within_a_second(self, subject: EngineSubject) -> None:
        """Also one that ignores SIGTERM and has children; its end is told as `cancelled`."""

        async def body(bench: Bench) -> None:
            file = bench.directory / "pids"
            shell = f"trap '' TERM; {_LONG} & echo $! $$ > {file}.new; mv {file}.new {file}; wait"
            lease = await bench.submit(f"{shell}; {_LONG}")
            pids = [int(word) for word in (await bench.file("pids")).split()]
            begun_s = time.monotonic()
            await bench.engine.cancel(lease)
            outcome = await bench.outcome(lease, CANCEL_WITHIN_S + subject.slack_s)
            took_s = time.monotonic() - begun_s
            require(outcome.ending is Ending.CANCELLED, f"it is {outcome.ending}")
            require(took_s <= CANCEL_WITHIN_S + subject.slack_s, f"it took {took_s:.1f} s")
            require(await _are_gone(pids), "its processes live on")

        _run(subject, body)

    def test_a_timeout_ends_an_attempt(self, subject: EngineSubject) -> None:
        """After the task's time, not before; told as `timed out`."""

        async def body(bench: Bench) -> None:
            begun_s = time.monotonic()
            lease = await bench.submit(_LONG, timeout_s=0.5)
            outcome = await bench.outcome(lease, 0.5 + CANCEL_WITHIN_S + subject.slack_s)
            require(outcome.ending is Ending.TIMED_OUT, f"it is {outcome.ending}")
            require(time.monotonic() - begun_s >= 0.5, "it was ended before its time")

        _run(subject, body)

    def test_nothing_of_an_attempt_survives_it(self, subject: EngineSubject) -> None:
        """What it left in the background is gone when its end is told."""

        async def body(bench: Bench) -> None:
            lease = await bench.submit(f"{_LONG} & echo $! > {bench.directory}/pid")
            outcome = await bench.outcome(lease, 20.0)
            require(outcome.ending is Ending.SUCCEEDED, f"it is {outcome.ending}")
            pid = int(await bench.file("pid"))
            gone = await _are_gone([pid])
            require(gone, "a process that it left in the background lives on")

        _run(subject, body)

    def test_no_secret_of_the_coordinator_is_handed_down(self, subject: EngineSubject) -> None:
        """Attempts get the variables that they need, and their own."""

        async def body(bench: Bench) -> None:
            file = bench.directory / "env"
            lease = await bench.submit(f"env > {file}.new; mv {file}.new {file}", env={"OWN": "1"})
            await bench.outcome(lease)
            text = await bench.file("env")
            require("OWN=1" in text.splitlines(), "its own variable is not set")
            require("PATH=" in text, "it has no PATH")
            require(_MARK not in text, f"it was given {SECRET}")

        os.environ[SECRET] = _MARK
        try:
            _run(subject, body)
        finally:
            del os.environ[SECRET]

    def test_workers_are_heard_with_what_they_work_on(self, subject: EngineSubject) -> None:
        """Again and again: a fleet takes silence for death."""

        async def body(bench: Bench) -> None:
            lease = await bench.submit(_LONG)

            def heard() -> bool:
                told = [e for e in bench.events if e.kind == "heard"]
                return sum(lease.token in e.tokens for e in told) >= 2

            await bench.until(heard, 5.0, "the worker did not say twice what it works on")
            await bench.engine.cancel(lease)
            await bench.outcome(lease)

        _run(subject, body)

    def test_what_is_unknown_is_cancelled_in_silence(self, subject: EngineSubject) -> None:
        """A lease may have ended before its revocation arrives; the next attempt runs as ever."""

        async def body(bench: Bench) -> None:
            unknown = Lease(task_id="x", worker_id=bench.worker_id, attempt=1, token=999)
            await bench.engine.cancel(unknown)
            lease = await bench.submit("exit 0")
            outcome = await bench.outcome(lease)
            await bench.engine.cancel(lease)
            require(outcome.ending is Ending.SUCCEEDED, f"it is {outcome.ending}")
            require(not bench.said("ended", unknown), "what never ran has ended")

        _run(subject, body)

    def test_stop_ends_all_attempts(self, subject: EngineSubject) -> None:
        """Nothing runs on without a coordinator."""

        async def body(bench: Bench) -> None:
            await bench.submit(f"echo $$ > {bench.directory}/pid; {_LONG}")
            pid = int(await bench.file("pid"))
            await asyncio.wait_for(bench.engine.stop(), subject.start_s)
            require(await _are_gone([pid]), "an attempt outlives its engine")

        _run(subject, body)

    def test_a_workers_death_is_told(self, subject: EngineSubject) -> None:
        """With its name and a reason, and nothing of what it ran lives on."""
        kill = subject.kill_worker
        if kill is None:
            return

        async def body(bench: Bench) -> None:
            await bench.submit(f"{_LONG} & echo $! > {bench.directory}/pid; wait")
            pid = int(await bench.file("pid"))
            kill(bench.engine)
            await bench.until(
                lambda: [e for e in bench.events if e.kind == "worker_died"],
                subject.start_s,
                "nobody told of the death",
            )
            died = next(e for e in bench.events if e.kind == "worker_died")
            require(died.worker_id == bench.worker_id, f"{died.worker_id} is said to be dead")
            require(died.reason, "it died without a reason")
            require(await _are_gone([pid]), "what it ran lives on")

        _run(subject, body)
