"""Places the workers of a run through an engine of the fleet: one attempt for each, and no retry.

The same engine that carries out a fleet's tasks (`domain.fleet.ports.Engine`) brings the machines
and tells which of them die. The join of a worker, and its keys with it, goes in the attempt's
environment: over the engine's connections and pipes, into no file, argument or log.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.app.composition import standard_host
from steelyard.app.placed_worker import FUNCTION
from steelyard.domain.bench.plan import Plan, RemotePlan
from steelyard.domain.fleet.model import Ending, Lease, TaskSpec
from steelyard.domain.fleet.ports import Engine, EngineEvent
from steelyard.domain.fleet.requirements import Capabilities, Requirements, unmet
from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError, UsageError
from steelyard.runtime.join import JOIN_VARIABLE, Join

SETTLE_S = 3.0
"""How long others may come after there is room for all: the workers are spread over them."""
SAY_EVERY_S = 10.0
END_WITHIN_S = 3.0
STOP_WITHIN_S = 12.0

_log = logging.getLogger("steelyard.placing")


@dataclass
class Node:
    """A machine of the engine: a worker of the fleet, on which workers of the run are placed.

    Attributes:
        slots: how many it takes.
        placed: which of the run's it has.
    """

    name: str
    slots: int
    capabilities: Capabilities
    placed: list[int] = field(default_factory=list)

    @property
    def free(self) -> int:
        """How many more it takes."""
        return self.slots - len(self.placed)


def spread(indices: Iterable[int], nodes: Iterable[Node]) -> dict[int, Node]:
    """Return a node for each worker: the one with the fewest, then that with the most room.

    Raises:
        ValueError: there is no room for all.
    """
    places = sorted(nodes, key=lambda node: node.name)
    found: dict[int, Node] = {}
    for index in indices:
        node = min(
            (each for each in places if each.free > 0),
            key=lambda each: (len(each.placed), -each.free),
        )
        node.placed.append(index)
        found[index] = node
    return found


class EnginePlacement:
    """The workers of one run on the machines of one engine.

    Args:
        plan: of the run, with `engine`.
        note: shows a person a line.
        engine: made already; without it the plan's is made.

    Raises:
        PluginError: there is no such engine, or it can't be used here.
        ConfigError: its options are wrong.
    """

    def __init__(
        self, plan: Plan, note: Callable[[str], None] = _log.info, engine: Engine | None = None
    ) -> None:
        self._wait_s = (plan.remote or RemotePlan()).join_timeout_s
        self._labels = dict(plan.engine.labels) if plan.engine is not None else {}
        self._engine = engine or _engine_of(plan)
        self._note = note
        self._nodes: dict[str, Node] = {}
        self._leases: dict[int, tuple[Lease, int]] = {}
        self._lost: Callable[[int, str], None] = lambda *_: None
        self._changed = asyncio.Event()
        self._came_s = 0.0
        self._broken: SteelyardError | None = None
        self._listening: asyncio.Task[None] | None = None
        self._started = False

    async def place(self, joins: Sequence[Join], lost: Callable[[int, str], None]) -> None:
        """Wait for machines with room for all, and start a worker for each join.

        Raises:
            EndpointUnreachableError: the cluster is not there, or has no machine that works.
            UsageError: it has not enough room.
        SteelyardError: the engine's own.
        """
        self._lost = lost
        self._started = True
        for name, capabilities, slots in await self._engine.start():
            self._joined(name, capabilities, slots)
        self._listening = asyncio.create_task(self._listen(), name="placing")
        if self._room() < len(joins):
            await self._wait_for_room(len(joins))
        chosen = spread([join.index for join in joins], self._fitting())
        for token, join in enumerate(joins, 1):
            await self._start(join, chosen[join.index], token)
        self._note(
            "workers are placed: "
            + ", ".join(f"{len(node.placed)} on {node.name}" for node in self._fitting())
        )

    async def stop(self) -> None:
        """Wait a moment for workers that are about to end, then end what is left."""
        if not self._started:
            return
        try:
            async with asyncio.timeout(END_WITHIN_S):
                while self._leases and self._broken is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("%d workers had to be ended", len(self._leases))
        self._leases.clear()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._engine.stop()
        except (TimeoutError, SteelyardError) as error:
            _log.warning("the engine did not end in order: %s", str(error) or "it took too long")

    # --- machines -------------------------------------------------------------------------------

    def _joined(self, name: str, capabilities: Capabilities, slots: int) -> None:
        node = Node(name, slots, capabilities)
        lacks = self._lacks(node)
        if lacks:
            _log.info("%s takes no worker: %s", name, "; ".join(lacks))
        self._nodes[name] = node
        self._came_s = asyncio.get_running_loop().time()
        self._changed.set()

    def _lacks(self, node: Node) -> tuple[str, ...]:
        return unmet(Requirements(labels=self._labels), node.name, node.capabilities)

    def _fitting(self) -> list[Node]:
        return [node for node in self._nodes.values() if not self._lacks(node)]

    def _room(self) -> int:
        return sum(node.free for node in self._fitting())

    async def _wait_for_room(self, wanted: int) -> None:
        """Wait until there is room for all, and nobody else has come for a moment."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._wait_s
        say_s = loop.time()
        while self._room() < wanted or loop.time() < self._came_s + SETTLE_S:
            if self._broken is not None:
                raise self._broken
            now_s = loop.time()
            if now_s >= until_s:
                raise self._no_room(wanted)
            if now_s >= say_s:
                say_s = now_s + SAY_EVERY_S
                self._note(f"waiting for machines for {wanted} workers: {self._room_in_words()}")
            self._changed.clear()
            try:
                async with asyncio.timeout(min(until_s - now_s, SETTLE_S / 3)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _room_in_words(self) -> str:
        fitting = self._fitting()
        if not fitting:
            return "no machine has come yet"
        names = ", ".join(f"{node.name} takes {node.free}" for node in fitting)
        return f"room for {self._room()} ({names})"

    def _no_room(self, wanted: int) -> SteelyardError:
        if not self._nodes:
            return EndpointUnreachableError(
                f"No machine of the cluster came within {self._wait_s:g} s",
                expected="machines that `steelyard fleet join` brought in",
                next_step="Start it on each. Nodes of a cluster that was started otherwise are "
                "taken with --engine-option every_node=true.",
            )
        reasons = [f"{node.name}: {'; '.join(self._lacks(node))}" for node in self._nodes.values()
                   if self._lacks(node)]  # fmt: skip
        return UsageError(
            f"There is no room for {wanted} workers",
            got="; ".join([self._room_in_words(), *reasons]),
            expected=f"{wanted} free slots",
            next_step="Ask for fewer with --workers, bring in more machines with `steelyard fleet "
            "join`, or give those more --slots.",
        )

    # --- attempts -------------------------------------------------------------------------------

    async def _start(self, join: Join, node: Node, token: int) -> None:
        name = f"worker-{join.index}"
        lease = Lease(task_id=name, worker_id=node.name, attempt=1, token=token)
        spec = TaskSpec(
            task_id=name, kind="callable", name=name, timeout_s=float("inf"),
            payload={"function": FUNCTION, "env": {JOIN_VARIABLE: join.encode()}},
        )  # fmt: skip
        self._leases[token] = lease, join.index
        await self._engine.submit(lease, spec)
        _log.info("worker %d is started on %s", join.index, node.name)

    async def _listen(self) -> None:
        while True:
            try:
                event = await self._engine.next_event()
            except SteelyardError as error:
                self._broken = error
                for token in list(self._leases):
                    self._ended(token, f"its engine is gone: {error}")
                self._changed.set()
                return
            self._heed(event)

    def _heed(self, event: EngineEvent) -> None:
        if event.kind == "worker_joined" and event.capabilities is not None:
            self._joined(event.worker_id, event.capabilities, event.slots)
        elif event.kind == "worker_died":
            self._nodes.pop(event.worker_id, None)
            for token, (lease, _) in list(self._leases.items()):
                if lease.worker_id == event.worker_id:
                    self._ended(token, f"its node {event.worker_id} died: {event.reason}")
            self._changed.set()
        elif event.kind == "ended" and event.lease is not None:
            outcome = event.outcome
            why = "nobody knows how" if outcome is None else outcome.error or str(outcome.ending)
            if outcome is not None and outcome.ending is Ending.SUCCEEDED:
                why = "the worker left the run"
            self._ended(event.lease.token, f"its attempt on {event.lease.worker_id} ended: {why}")

    def _ended(self, token: int, reason: str) -> None:
        known = self._leases.pop(token, None)
        if known is not None:
            _log.info("worker %d: %s", known[1], reason)
            self._lost(known[1], reason)
            self._changed.set()


def _engine_of(plan: Plan) -> Engine:
    if plan.engine is None:
        raise SteelyardError("This run type has no engine", got=plan.run_type)
    host = standard_host(tuple(plan.options.get("plugin_dirs", ())))
    usual: dict[str, object] = {
        "directory": str(Path(plan.artifact_dir) / "engine"),
        # The next run has a directory of its own: nobody would take these away.
        "keep": False,
    }
    takes = inspect.signature(host.load("engine", plan.engine.name)).parameters
    given = {name: value for name, value in usual.items() if name in takes}
    made: Engine = host.create("engine", plan.engine.name, **{**given, **plan.engine.options})
    return made
