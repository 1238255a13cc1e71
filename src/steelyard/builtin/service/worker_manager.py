"""Role `worker_manager`: knows the workers, and says when they can take leases."""

import msgspec

from steelyard.domain.bench.messages import ConfigureRun, ServiceLost, WorkerReady, WorkersReady
from steelyard.domain.bench.plan import Plan
from steelyard.runtime.service import (
    Peer,
    Service,
    ServiceContext,
    on_configure,
    on_message,
)


class WorkerManager(Service):
    """Waits until every living worker has its connections open, then announces them all."""

    service_type = "worker_manager"

    def __init__(self, context: ServiceContext) -> None:
        super().__init__(context)
        self._workers: dict[int, Peer] = {}
        self._ready: set[int] = set()
        self._announced = False

    @on_configure
    async def _configure(self, message: ConfigureRun) -> None:
        plan = msgspec.convert(message.plan, Plan)
        self._workers = {peer.index: peer for peer in self.context.peers_of("worker")}
        if len(self._workers) != plan.workers:
            problem = f"the plan has {plan.workers} workers, the run {len(self._workers)}"
            raise ValueError(problem)

    @on_message(WorkerReady)
    async def _worker_ready(self, message: WorkerReady) -> None:
        self._ready.add(message.worker)
        await self._announce()

    @on_message(ServiceLost)
    async def _worker_lost(self, message: ServiceLost) -> None:
        if message.service_type == "worker":
            self._workers.pop(message.index, None)
            await self._announce()

    async def _announce(self) -> None:
        if self._announced or not self._workers or not self._ready.issuperset(self._workers):
            return
        self._announced = True
        ids = {number: peer.service_id for number, peer in sorted(self._workers.items())}
        await self.bus.send("timing_manager", WorkersReady(ids))
