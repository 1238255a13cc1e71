"""A trace of each task that ends, to an OpenTelemetry collector that may be slow or dead.

What ended is noted in a queue of bounded length; a thread reads it up in the ledger and sends it.
What finds the queue full is counted and left out: no task waits for a trace.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import msgspec

from steelyard.app.fleet.spans import Recovered, spans_of
from steelyard.app.fleet.trace_context import of_attempt, of_task
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.domain.fleet.ports import Engine
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet.engine_room import STOP_WITHIN_S
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ports import Change, Happened
from steelyard.runtime.otel.spans import Span, SpanSender

WAITING_MAX = 10_000
AT_ONCE = 128
"""Tasks whose spans share a request."""
GATHER_S = 0.5
"""How long a first task waits for others to share its request."""
STOP_S = 3.0
TOLD_AT = frozenset({1, 100, 10_000})
"""How many traces that came to nothing are worth a line in the log; all of them are counted."""

EXPORTED, REFUSED, DROPPED = "exported", "refused", "dropped"
_ENDS = frozenset({FleetHook.TASK_COMPLETED, FleetHook.TASK_FAILED, FleetHook.TASK_CANCELLED})
_RECOVERIES = frozenset({
    FleetHook.RECOVERY_STARTED, FleetHook.RECOVERY_COMPLETED, FleetHook.RECOVERY_FAILED,
})  # fmt: skip
_log = logging.getLogger("steelyard.fleet")
Ended = tuple[str, tuple[Recovered, ...]]


class TaskTraces:
    """Sends the traces of the tasks that end.

    Args:
        sender: to the collector.
        waiting_max: tasks that may wait for it.

    Attributes:
        counts: tasks whose trace was `exported`, `refused` by the collector, or `dropped`.
        engines: the engine of each worker that an attempt was handed to, by worker.
    """

    def __init__(self, sender: SpanSender, waiting_max: int = WAITING_MAX) -> None:
        self.counts = Counter({EXPORTED: 0, REFUSED: 0, DROPPED: 0})
        self.engines: dict[str, str] = {}
        self._sender, self._waiting_max = sender, waiting_max
        self._recovered: dict[str, list[Recovered]] = {}
        self._waiting: deque[Ended] = deque()
        self._news = threading.Condition()
        self._is_over = False
        self._thread: threading.Thread | None = None

    def start(self, queries: LedgerQueries) -> None:
        """Begin to send."""
        self._thread = threading.Thread(
            target=self._run, args=(queries,), name="fleet-traces", daemon=True
        )
        self._thread.start()

    def saw(self, change: Change, _took_s: float) -> None:
        """Take note of what a commit says; waits for nothing."""
        for item in change.happened:
            if item.name in _RECOVERIES:
                self._recovery(item)
        for item in change.happened:
            if item.name in _ENDS:
                self._ended(str(item.arguments["task_id"]))

    def _recovery(self, item: Happened) -> None:
        noted = Recovered(item.name, item.at_ns, str(item.arguments["worker_id"]))
        names = item.arguments["task_ids"]
        for task_id in names if isinstance(names, list | tuple) else ():
            self._recovered.setdefault(task_id, []).append(noted)
        while len(self._recovered) > self._waiting_max:
            del self._recovered[next(iter(self._recovered))]

    def _ended(self, task_id: str) -> None:
        ended = task_id, tuple(self._recovered.pop(task_id, ()))
        with self._news:
            if len(self._waiting) >= self._waiting_max:
                self._count(DROPPED, 1)
                return
            self._waiting.append(ended)
            self._news.notify()

    def stop(self, within_s: float = STOP_S) -> None:
        """Send what waits, for so long at most, and end."""
        if self._thread is None:
            return
        with self._news:
            self._is_over = True
            self._news.notify()
        self._thread.join(within_s)
        self._sender.close()  # which ends a wait for a collector that does not answer
        with self._news:
            self._count(DROPPED, len(self._waiting))
            self._waiting.clear()
        self._thread = None

    def _run(self, queries: LedgerQueries) -> None:
        while ended := self._next():
            try:
                spans = [span for each in ended for span in self._spans(each, queries)]
                taken = not spans or self._sender.send(spans)
            except SteelyardError as error:
                _log.warning("Traces are left out, the ledger can't be read: %s", error)
                taken = False
            with self._news:
                self._count(EXPORTED if taken else REFUSED, len(ended))

    def _next(self) -> list[Ended]:
        """Wait for tasks that ended; return them, none when it is over."""
        with self._news:
            while not self._waiting and not self._is_over:
                self._news.wait()
            if len(self._waiting) < AT_ONCE and not self._is_over:
                self._news.wait_for(
                    lambda: self._is_over or len(self._waiting) >= AT_ONCE, GATHER_S
                )
            return [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]

    def _is_enough(self) -> bool:
        return self._is_over or len(self._waiting) >= AT_ONCE

    def _spans(self, ended: Ended, queries: LedgerQueries) -> Sequence[Span]:
        task_id, recovered = ended
        task = queries.task(task_id)
        if task is None or not of_task(task.spec).sampled:
            return ()
        return spans_of(task, queries.attempts(task_id), self.engines, recovered)

    def _count(self, result: str, number: int) -> None:
        before = self.counts[result]
        self.counts[result] += number
        if result != EXPORTED and any(before < at <= before + number for at in TOLD_AT):
            _log.warning("%d traces were %s by now", self.counts[result], result)


class TracedEngine:
    """An engine whose attempts are told where in a trace they stand.

    Args:
        engine: carries them out.
        name: of the engine.
        workers: is told the name of each worker's engine.
    """

    def __init__(self, engine: Engine, name: str, workers: dict[str, str]) -> None:
        self._engine, self._name, self._workers = engine, name, workers
        self.next_event = engine.next_event
        self.cancel = engine.cancel
        self.stop = engine.stop

    @property
    def stop_within_s(self) -> float:
        """As the engine says, where it does."""
        within_s: float = getattr(self._engine, "stop_within_s", STOP_WITHIN_S)
        return within_s

    async def start(self) -> Sequence[tuple[str, Capabilities, int]]:
        """Begin, as the engine does."""
        return await self._engine.start()

    async def submit(self, lease: Lease, spec: TaskSpec) -> None:
        """Carry out an attempt whose `traceparent` is its own span."""
        self._workers[lease.worker_id] = self._name
        context = of_attempt(spec, lease.token)
        await self._engine.submit(lease, msgspec.structs.replace(spec, traceparent=context.header))


def traced(engines: Mapping[str, Engine], traces: TaskTraces | None) -> dict[str, Engine]:
    """Return engines that tell attempts where in a trace they stand; as they are, without any."""
    if traces is None:
        return dict(engines)
    return {name: TracedEngine(each, name, traces.engines) for name, each in engines.items()}
