"""What plugins of the fleet must be able to do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from steelyard.domain.fleet.attempts import Ran, Work
from steelyard.domain.fleet.model import (
    Attempt,
    Lease,
    Outcome,
    Proposal,
    Task,
    TaskSpec,
    Worker,
)
from steelyard.domain.fleet.requirements import Capabilities, Room


class Free(msgspec.Struct, frozen=True):
    """A worker that takes more, and what of it no lease holds."""

    worker: Worker
    room: Room


@runtime_checkable
class Scheduler(Protocol):
    """Chooses who does what next, from the whole queue. Made with its options as keywords.

    It is told of changes as they come, so that a pass need not look at ten thousand tasks again;
    all calls come from one thread. One that comes into use is first told of all leases that hold
    and of all ready tasks, and may be told of attempts that ended long ago.
    """

    def added(self, task: Task) -> None:
        """Take note of a task that became ready, at `task.ready_ns`."""

    def removed(self, task_id: str) -> None:
        """Take note of one that is ready no longer, and has no lease: cancelled, or held back."""

    def leased(self, task: Task) -> None:
        """Take note that `task.worker_id` holds a task, by whatever scheduler's choice."""

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Take note of how an attempt ended; what a history is made of."""

    def propose(
        self, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Iterable[Proposal]:
        """Return leases for the free slots, the first first; each worker no more than it has room.

        A proposal that does not hold is refused and may be made again.

        Args:
            free: workers that take more now, maybe none.
            workers: all workers by id, the busy and the lost ones too; not to be changed.
            now_ns: Unix time.
        """
        ...

    def metrics(self) -> Mapping[str, Any]:
        """Return what it measures of itself, plain values."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A scheduler that can say why it leaves a task waiting; one that can't need not have this."""

    def why_held(
        self, task: Task, free: Sequence[Free], workers: Mapping[str, Worker], now_ns: int
    ) -> Sequence[str]:
        """Return a sentence for each thing that keeps a ready task from the free workers.

        None at all where nothing does, and it is only not its turn. Nothing changes by the
        question.

        Args:
            task: it is ready.
            free: workers that take more now.
            workers: all workers by id.
            now_ns: Unix time.
        """
        ...


class EngineEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine has to say of an attempt or a worker.

    Attributes:
        kind: `started`, `ended`, `heard`, `worker_joined`, `worker_died`.
        lease, outcome: of an attempt that started or ended.
        tokens: of the leases that a worker which was heard works on.
        capabilities, slots: of a worker that joined.
    """

    kind: str
    lease: Lease | None = None
    outcome: Outcome | None = None
    worker_id: str = ""
    reason: str = ""
    tokens: tuple[int, ...] = ()
    capabilities: Capabilities | None = None
    slots: int = 1


@runtime_checkable
class Engine(Protocol):
    """Carries attempts out, somewhere. Made with its options as keywords.

    Calls come one after the other but for `next_event`, and each is bounded: one that hangs is
    cancelled after 10 s, `start` after 300 s, `stop` after 30 s or what an attribute
    `stop_within_s` says. None may block: the coordinator's loop would stand still, and it would
    lose the lead.
    """

    async def start(self) -> Sequence[tuple[str, Capabilities, int]]:
        """Begin; return the workers it brings: id, capabilities, slots."""
        ...

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Carry out an attempt; returns when that is under way, not when it has ended."""

    async def cancel(self, lease: Lease) -> None:
        """Have an attempt end within a second; its end is an event like any other."""

    async def next_event(self) -> EngineEvent:
        """Wait for something to happen."""
        ...

    async def stop(self) -> None:
        """End all attempts and let go of everything."""


@runtime_checkable
class TaskKind(Protocol):
    """Says what the tasks of a kind run, and what comes of it. Made with its options as keywords.

    `prepare` is called where tasks are submitted, for several at once, in threads: one that takes
    longer than 10 s is left behind, and its task refused. `work` and `outcome` are called on the
    worker, in a process of the attempt's own, where what they raise fails the attempt and nothing
    else.
    """

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """Return the task as it is submitted, or those that it is split into.

        What the kind knows is filled in where the author left it out (the endpoint, an estimate).

        Args:
            spec: as its author wrote it.
            earlier: results of earlier tasks of this kind, name and project, the latest first.

        Raises:
            UsageError: its payload can't be used.
        """
        ...

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return the program of an attempt.

        Args:
            spec: one that `prepare` returned.
            directory: the attempt's working directory; it is there, and empty.
        """
        ...

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return what it came to; called when the program ended by itself, not when it was ended.

        Its files are still there.
        """
        ...
