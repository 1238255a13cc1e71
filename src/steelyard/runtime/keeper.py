"""The keeper of a worker: it forks it on this machine, watches it, and tells the run of its end.

It is to a worker elsewhere what the supervisor is to one that it forked: it sees the process end
at once, knows from the board how far the leases were sent, and says what the kernel says.
"""

import asyncio
import logging
import signal
from functools import partial
from pathlib import Path

import uvloop

from steelyard.domain.bench.join_messages import EndRole, RoleEnded, RoleSample
from steelyard.kernel.errors import EXIT_VERDICT, SteelyardError
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.bus_port import describe_error
from steelyard.runtime.bus_zmq import ZmqClient
from steelyard.runtime.callback_errors import watch_callbacks
from steelyard.runtime.host_facts import clock_id
from steelyard.runtime.join import Join
from steelyard.runtime.join_door import keys_of, knock, reachable_address
from steelyard.runtime.process import ChildProcess, ExitStatus, fork_child, sample_process
from steelyard.runtime.remote_role import RemoteAssignment, run_remote_role
from steelyard.runtime.remote_seats import KEEPER_SUFFIX

SAMPLE_S = 0.25
TELL_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


def keep_worker(join: Join, target: str, scratch: Path, wait_s: float = 0.0) -> int:
    """Take the place of `join` in its run, and return when that is over.

    Must be called from a process of one thread, without an event loop: the worker is forked.

    Args:
        join: of one worker.
        target: class of the worker as `package.module:Class`.
        scratch: a directory of its own, there already.
        wait_s: how long a run that has not begun is waited for.

    Returns:
        the exit code: 0 when the run ended the worker, else why the worker ended.

    Raises:
        UsageError: the run refuses it.
        EndpointUnreachableError: the run can't be reached.
        FileError: the scratch directory can't be used.
    """
    address = reachable_address(join, wait_s)
    controller = knock(join, address).host
    board = Board(board_path(scratch), len(join.service_ids), create=True)
    assignment = RemoteAssignment(
        join=join,
        address=address,
        target=target,
        scratch=scratch,
        same_clock=bool(clock_id()) and clock_id() == controller.clock_id,
    )
    child = fork_child(join.service_id, partial(run_remote_role, assignment))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status = runner.run(_Keeper(join, address, child, board).run())
    finally:
        child.kill()
        board.close()
    return status.code if status.code >= 0 else EXIT_VERDICT


class _Keeper:
    """Watches one worker until it is gone."""

    def __init__(self, join: Join, address: str, child: ChildProcess, board: Board) -> None:
        self._join = join
        self._address = address
        self._child = child
        self._board = board
        self._status: ExitStatus | None = None
        self._failure: Exception | None = None
        self._over = asyncio.Event()

    async def run(self) -> ExitStatus:
        """Return how the worker ended, when the run was told.

        Raises:
            Exception: what a callback of ours raised; the worker is ended and the run told then.
        """
        watch_callbacks(self._callback_failed)
        name = self._join.service_id + KEEPER_SUFFIX
        client = ZmqClient(self._address, name, "keeper", keys=keys_of(self._join))
        client.port.subscribe(EndRole, self._end_role)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._child.send, signal.SIGTERM)
        self._child.watch(self._ended)
        try:
            while not self._over.is_set():
                self._tell_sample(client)
                try:
                    await asyncio.wait_for(self._over.wait(), SAMPLE_S)
                except TimeoutError:
                    continue
            status = await self._tell_end(client)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            await client.close()
        if self._failure is not None:
            raise self._failure
        return status

    async def _end_role(self, _: EndRole) -> None:
        self._child.send(signal.SIGKILL)

    def _callback_failed(self, error: Exception) -> bool:
        is_first = self._failure is None
        self._failure = self._failure or error
        self._over.set()
        return is_first

    def _ended(self, status: ExitStatus) -> None:
        self._status = status
        self._over.set()

    def _tell_sample(self, client: ZmqClient) -> None:
        sample = sample_process(self._child.pid)
        if sample is not None:
            client.port.post(
                self._join.controller_id,
                RoleSample(
                    service_id=self._join.service_id,
                    state=sample.state,
                    cpu_ticks=sample.cpu_ticks,
                ),
            )

    async def _tell_end(self, client: ZmqClient) -> ExitStatus:
        status = self._status or self._child.kill()
        reason = str(status)
        if self._failure is not None:
            reason = f"its keeper failed: {describe_error(self._failure)}"
        index = self._join.index
        word = RoleEnded(
            service_id=self._join.service_id,
            code=status.code,
            reason=reason,
            leases=self._board.leases(index),
            last_lease=self._board.last_lease(index),
        )
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                await client.port.send(self._join.controller_id, word)
        except (TimeoutError, SteelyardError) as error:
            _log.warning("the run was not told that its worker ended: %s", error)
        return status
