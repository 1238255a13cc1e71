"""A node of a Ray cluster as its coordinator sees it: an agent placed on it, and what that says."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.model import Ending, Lease, Outcome, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet.attempt_logs import STREAMS, attempt_directory, log_path
from steelyard.runtime.fleet.ray_agent import (
    AgentSettings,
    NodeAgent,
    Order,
    Piece,
    Ready,
    Refusal,
    Said,
)
from steelyard.runtime.fleet.ray_connection import first_line
from steelyard.runtime.fleet.ray_outputs import NodeOutputs

JOIN_WITHIN_S = 60.0
STOP_WITHIN_S = 10.0
POLL_S = 1.0
_UNREACHABLE_S = 0.5
_CALLS_AT_ONCE = 1_000
_AGAIN_S = (0.5, 1.0, 5.0, 30.0)
"""How long after each failure in a row an agent is started anew; the last from then on."""

_log = logging.getLogger("steelyard.fleet.ray")


class RayWorker:
    """A node of the cluster, and the agent on it.

    Args:
        node_id: Ray's name of the node.
        settings: of the agent.
        directory: of the fleet, where logs are kept.
        events: take what there is to tell.
    """

    def __init__(
        self,
        node_id: str,
        settings: AgentSettings,
        directory: Path,
        events: "asyncio.Queue[EngineEvent | None]",
    ) -> None:
        self.worker_id = settings.worker_id
        self._node_id = node_id
        self._settings = settings
        self._directory = directory
        self._events = events
        self._agent: Any = None
        self._is_up = False
        self._failures = 0
        self._leases: dict[int, Lease] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._keeping = asyncio.create_task(self._keep(), name=f"fleet-ray-{self.worker_id}")

    def begin(self, lease: Lease, spec: TaskSpec) -> None:
        """Have an attempt carried out; what comes of that are events.

        Raises:
            SteelyardError: the node's agent is not there.
        """
        if not self._is_up:
            raise SteelyardError(f"Worker {self.worker_id} is not ready")
        self._leases[lease.token] = lease
        reference = self._agent.submit.remote(msgspec.msgpack.encode(Order(lease, spec)))
        self._later(self._confirm(lease, reference))

    def cancel(self, lease: Lease) -> None:
        """Have an attempt ended."""
        if self._is_up:
            self._later(_quietly(self._agent.cancel.remote(msgspec.msgpack.encode(lease))))

    def outputs(self) -> NodeOutputs | None:
        """Return what attempts wrote on the node; None while its agent is not there."""
        return NodeOutputs(self.worker_id, self._agent) if self._is_up else None

    async def died(self, reason: str) -> None:
        """Give the node up."""
        await self._quit()
        self._fell(reason)

    async def stop(self) -> None:
        """End what it runs, and its agent."""
        import ray

        await self._quit()
        self._is_up = False
        agent, self._agent = self._agent, None
        if agent is None:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await _quietly(agent.stop.remote())
        except TimeoutError:
            _log.warning("The agent of %s did not end in time and is killed", self.worker_id)
        ray.kill(agent)

    async def _quit(self) -> None:
        tasks = [self._keeping, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _later(self, call: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _confirm(self, lease: Lease, reference: Any) -> None:
        from ray.exceptions import RayError

        try:
            reason = msgspec.msgpack.decode(await reference, type=Refusal).reason
        except RayError as error:
            # Should it run after all: its token is old by then, and it is ended when it is heard of
            reason = f"worker {self.worker_id} can't be reached: {first_line(error)}"
        except msgspec.MsgspecError as error:
            reason = f"worker {self.worker_id}: {_no_message(error)}"
        if reason and self._leases.pop(lease.token, None) is not None:
            outcome = Outcome(ending=Ending.REFUSED, error=reason)
            self._tell(EngineEvent(kind="ended", lease=lease, outcome=outcome))

    # The agent

    async def _keep(self) -> None:
        """Start an agent, pass on what it says, and start another one when it died."""
        from ray.exceptions import RayError

        while True:
            try:
                ready = await self._start()
            except (RayError, SteelyardError) as error:
                text = first_line(error)
                _log.warning("Ray node %s is no worker: %s", self.worker_id, text)
            else:
                self._is_up = True
                self._tell(
                    EngineEvent(
                        kind="worker_joined", worker_id=self.worker_id,
                        capabilities=ready.capabilities, slots=ready.slots,
                    )
                )  # fmt: skip
            if self._is_up:
                self._fell(await self._listen())
            await asyncio.sleep(_AGAIN_S[min(self._failures, len(_AGAIN_S) - 1)])
            self._failures += 1

    async def _start(self) -> Ready:
        """Place an agent on the node, and nowhere else."""
        import ray

        place = {"ray.io/node-id": self._node_id}
        self._agent = (
            ray.remote(NodeAgent)
            .options(
                num_cpus=0, max_restarts=0, max_task_retries=0, label_selector=place,
                max_concurrency=_CALLS_AT_ONCE,
            )
            .remote(msgspec.msgpack.encode(self._settings))
        )  # fmt: skip
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                said = msgspec.msgpack.decode(
                    await self._agent.start.remote(), type=Ready | Refusal
                )
        except TimeoutError:
            said = Refusal(f"its agent did not start within {JOIN_WITHIN_S:g} s")
        except msgspec.MsgspecError as error:
            said = Refusal(_no_message(error))
        if isinstance(said, Refusal):
            ray.kill(self._agent)
            raise SteelyardError(said.reason)
        return said

    async def _listen(self) -> str:
        """Pass on what the agent says until it is dead, or makes no sense; return why."""
        import ray
        from ray.exceptions import ActorUnavailableError, RayError

        seen = 0
        while True:
            try:
                data = await self._agent.poll.remote(seen, POLL_S)
            except ActorUnavailableError:
                await asyncio.sleep(_UNREACHABLE_S)  # it may come back; Ray tells when it does not
                continue
            except RayError as error:
                return f"its agent died: {first_line(error)}"
            try:
                batch = msgspec.msgpack.decode(data, type=list[Said])
            except msgspec.MsgspecError as error:
                ray.kill(self._agent)
                return _no_message(error)
            self._failures = 0
            for said in batch:
                if said.seq <= seen:
                    continue
                seen = said.seq
                if said.piece is not None:
                    await asyncio.to_thread(self._write, said.piece)
                if said.event is not None:
                    self._pass_on(said.event)

    def _pass_on(self, event: EngineEvent) -> None:
        """Tell what a node says of itself and of what it was given, and nothing else."""
        if event.lease is None:
            self._tell(msgspec.structs.replace(event, worker_id=self.worker_id))
        elif self._leases.get(event.lease.token) == event.lease:
            if event.kind == "ended":
                del self._leases[event.lease.token]
            self._tell(event)

    def _tell(self, event: EngineEvent) -> None:
        self._events.put_nowait(event)

    def _fell(self, reason: str) -> None:
        if self._is_up:
            self._is_up = False
            self._leases.clear()
            self._tell(
                EngineEvent(kind="worker_died", worker_id=self.worker_id, reason=reason)
            )  # fmt: skip

    def _write(self, piece: Piece) -> None:
        """Keep a piece of a log where those of this machine's attempts are."""
        lease = piece.lease
        if self._leases.get(lease.token) != lease or piece.stream not in STREAMS:
            return
        place = attempt_directory(self._directory, lease.task_id, lease.attempt, lease.token)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            fd = os.open(log_path(place, piece.stream), flags, 0o600)
            try:
                os.pwrite(fd, piece.data, piece.offset)
            finally:
                os.close(fd)
        except OSError as error:
            # The node has all of it, and the attempt's outcome does not hang on it.
            _log.warning("A log of %s can't be kept here: %s", lease.task_id, error.strerror)


def _no_message(error: msgspec.MsgspecError) -> str:
    return (
        f"its agent said what is no message ({error}). Install the same version of Steelyard on"
        " the node and here"
    )


async def _quietly(reference: Any) -> None:
    """Wait for a call; what a dead agent does not hear has ended with it."""
    from ray.exceptions import RayError

    with contextlib.suppress(RayError):
        await reference
