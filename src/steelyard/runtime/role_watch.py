"""Looks at the roles of a run a few times a second: who is silent, and is it busy or hung?"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from steelyard.kernel.clock import Clock
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.process import sample_process
from steelyard.runtime.roles import ManagedService

if TYPE_CHECKING:
    from steelyard.runtime.remote_seats import RemoteSeats

WATCH_S = 0.25

_log = logging.getLogger(__name__)


class RoleWatch:
    """Judges roles by their heartbeats and by what the kernel says of their processes.

    Args:
        services: the roles by id.
        remote: judges those that have a seat.
        clock: the controller's.
        declare_dead: called with a role that hangs, and why; its process is killed then.
    """

    def __init__(
        self,
        services: Mapping[str, ManagedService],
        remote: "RemoteSeats | None",
        clock: Clock,
        declare_dead: Callable[[ManagedService, str], None],
    ) -> None:
        self._services = services
        self._remote = remote
        self._clock = clock
        self._declare_dead = declare_dead

    async def run(self) -> None:
        """Look until cancelled; a look that comes late itself proves no silence."""
        before_ns = self._clock.mono_ns()
        while True:
            await asyncio.sleep(WATCH_S)
            now_ns = self._clock.mono_ns()
            late = now_ns - before_ns > 2 * WATCH_S * NS_PER_S
            before_ns = now_ns
            if late:
                self._excuse(now_ns)
            for service in self._services.values():
                if service.seat is not None and self._remote is not None:
                    self._remote.look_at(service, now_ns)
                else:
                    self._look_at(service, now_ns)

    def _excuse(self, now_ns: int) -> None:
        for service in self._services.values():
            if service.vitals is not None:
                service.vitals.excuse(now_ns)
        if self._remote is not None:
            self._remote.excuse(now_ns)

    def _look_at(self, service: ManagedService, now_ns: int) -> None:
        vitals = service.vitals
        if vitals is None or not service.alive or not vitals.silent(now_ns):
            return
        sample = sample_process(service.pid)
        if sample is None:
            return
        was_busy = vitals.was_busy
        reason = vitals.judge(now_ns, sample.state, sample.cpu_ticks)
        if reason is not None:
            self._declare_dead(service, reason)
            if service.child is not None:
                service.child.send(signal.SIGKILL)
        elif vitals.was_busy and not was_busy:
            _log.warning("%s is busy: its loop gives no heartbeat", service.peer.service_id)
