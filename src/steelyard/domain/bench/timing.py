"""The timing machine: phases, quotas and leases, decided without a clock or a socket.

`handle(event, now_ns)` returns what is wanted; the timing manager does it. The states of a phase:

    waiting --Ready--> sending --all sent, time over, or StopRun--> draining --idle--> (next phase)

A lease holds schedule indices. A lost worker's unsent indices are leased again; what it had sent
and not acknowledged is counted lost and never sent twice.
"""

from enum import Enum
from typing import assert_never

from steelyard.domain.bench.messages import (
    AllPhasesDone,
    BeginPhase,
    GrantLeases,
    Lease,
    LeaseAck,
    PhaseCompleted,
    PhaseSendingComplete,
    PhaseStarted,
    PhaseStats,
    PhaseTimeout,
    SetQuota,
    StopRun,
    StopSending,
)
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.timing_events import (
    Action,
    Announce,
    Event,
    Ready,
    Tell,
    Tick,
    WakeAt,
    WorkerLost,
)
from steelyard.kernel.units import NS_PER_S, seconds_to_ns

LEASE_NS = 10 * NS_PER_S
"""How long a worker may send from its leases without hearing from the timing manager."""

HORIZON_S = 2.0
"""How much open-loop schedule a worker is leased ahead."""

UNBOUNDED = 1 << 62
BLOCK_MIN = 64
BLOCK_MAX = 1 << 20


class State(Enum):
    """Where the machine stands."""

    WAITING = "waiting"
    SENDING = "sending"
    DRAINING = "draining"
    DONE = "done"


class _Holding:
    """What is known of one worker in the current phase."""

    def __init__(self) -> None:
        self.leases: dict[int, list[int]] = {}  # lease id -> [next unsent, to, stride]
        self.ack: LeaseAck | None = None
        self.expires_ns = 0
        self.rate_per_s = 0.0
        self.ack_ns = 0

    def unsent(self) -> int:
        return sum(len(range(*row)) for row in self.leases.values())

    def note(self, sent_to: dict[int, int], last_lease: int) -> None:
        for lease_id, row in tuple(self.leases.items()):
            row[0] = max(row[0], sent_to.get(lease_id, row[1] if lease_id <= last_lease else 0))
            if row[0] >= row[1]:
                del self.leases[lease_id]


class TimingMachine:
    """Decides who may send what until when.

    Args:
        phases: run one after another.
        lead_ns: how far in the future a phase's start is set, so that all workers hear of it.
    """

    def __init__(self, phases: tuple[PhasePlan, ...], *, lead_ns: int) -> None:
        self.phases = phases
        self.state = State.WAITING
        self.phase = -1
        self._lead_ns = lead_ns
        self._workers: dict[int, _Holding] = {}
        self._lost_stats: list[tuple[int, LeaseAck | None]] = []
        self._scheduled: int | None = None
        self._next_index = 0
        self._returned: list[tuple[int, int, int]] = []
        self._lease_id = 0
        self._start_ns = 0
        self._sent_end_ns: int | None = None
        self._cancel_at_ns: int | None = None
        self._timed_out = False
        self._stopped = False

    @property
    def plan(self) -> PhasePlan:
        """The phase at hand."""
        return self.phases[self.phase]

    @property
    def _limit(self) -> int:
        counts = [self.plan.request_count, self.plan.session_count]
        if self.plan.fixed_schedule:
            counts.append(self._scheduled)
        return min(count if count is not None else UNBOUNDED for count in counts)

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """Take one event and return the actions it asks for, in order."""
        if self.state is State.DONE:
            return []
        actions: list[Action] = []
        match event:
            case Ready():
                if self.state is State.WAITING and self.phase < 0:
                    self._workers = {worker: _Holding() for worker in event.workers}
                    self._scheduled = event.scheduled
                    actions += self._begin_next(now_ns)
            case LeaseAck():
                actions += self._on_ack(event, now_ns)
            case WorkerLost():
                actions += self._on_lost(event, now_ns)
            case StopRun():
                self._stopped = True
                if self.state is State.SENDING:
                    grace = seconds_to_ns(self.plan.grace_s) if event.drain else 0
                    actions += self._stop_sending(now_ns, now_ns + grace)
                elif self.state is State.DRAINING and not event.drain:
                    actions += self._stop_sending(now_ns, now_ns)
                elif self.state is State.WAITING:
                    actions += self._finish()
            case Tick():
                pass
            case _:
                assert_never(event)
        return actions + self._advance(now_ns)

    # --- phases -------------------------------------------------------------------------------

    def _begin_next(self, now_ns: int) -> list[Action]:
        self.phase += 1
        if self.phase >= len(self.phases) or self._stopped or not self._workers:
            return self._finish()
        self.state = State.SENDING
        self._next_index, self._returned = 0, []
        self._start_ns = now_ns + self._lead_ns
        self._sent_end_ns = self._cancel_at_ns = None
        self._timed_out = False
        self._lost_stats = []
        self._workers = {worker: _Holding() for worker in self._workers}
        actions: list[Action] = []
        for worker, leases in self._allocate(now_ns, tuple(self._workers)).items():
            concurrency, prefill = self._quota(worker)
            rank, size = self._place(worker)
            begin = BeginPhase(
                phase=self.phase,
                epoch=self.phase,
                start_ns=self._start_ns,
                concurrency=concurrency,
                prefill_concurrency=prefill,
                leases=leases,
                turn_requests=self._share(worker, self.plan.request_count),
                rank=rank,
                size=size,
            )
            actions.append(Tell(worker, begin))
        actions.append(Announce(PhaseStarted(self.stats())))
        if self.plan.duration_s is not None:
            actions.append(WakeAt(self._start_ns + seconds_to_ns(self.plan.duration_s)))
        return actions

    def _finish(self) -> list[Action]:
        self.state = State.DONE
        return [Announce(AllPhasesDone(cancelled=self._stopped))]

    def _stop_sending(self, now_ns: int, cancel_at_ns: int | None) -> list[Action]:
        self.state = State.DRAINING
        self._cancel_at_ns = cancel_at_ns
        self._next_index, self._returned = self._limit, []
        actions: list[Action] = []
        for worker, holding in self._workers.items():
            holding.leases.clear()
            actions.append(Tell(worker, StopSending(phase=self.phase, cancel_at_ns=cancel_at_ns)))
        if self._sent_end_ns is None:
            self._sent_end_ns = now_ns
            actions.append(Announce(PhaseSendingComplete(self.stats())))
        if cancel_at_ns is not None:
            actions.append(WakeAt(cancel_at_ns))
        return actions

    def _advance(self, now_ns: int) -> list[Action]:
        """Move on when the phase has sent all, run out of time, or drained."""
        actions: list[Action] = []
        if self.state is State.SENDING:
            duration_s = self.plan.duration_s
            if duration_s is not None and now_ns >= self._start_ns + seconds_to_ns(duration_s):
                end_ns = self._start_ns + seconds_to_ns(duration_s)
                actions += self._stop_sending(now_ns, end_ns + seconds_to_ns(self.plan.grace_s))
            elif not self._workers or self._all_sent():
                self.state = State.DRAINING
                self._sent_end_ns = now_ns
                actions.append(Announce(PhaseSendingComplete(self.stats())))
        if self.state is State.DRAINING:
            cancel_at = self._cancel_at_ns
            if self._idle():
                actions.append(Announce(PhaseCompleted(self.stats(now_ns))))
                actions += self._begin_next(now_ns)
            elif cancel_at is not None and now_ns >= cancel_at and not self._timed_out:
                self._timed_out = True
                actions.append(Announce(PhaseTimeout(self.stats())))
        return actions

    def _all_sent(self) -> bool:
        if self._next_index < self._limit or self._returned:
            return False
        return all(holding.unsent() == 0 for holding in self._workers.values())

    def _idle(self) -> bool:
        acks = [holding.ack for holding in self._workers.values()]
        return all(ack is not None and ack.idle and ack.epoch == self.phase for ack in acks)

    # --- workers ------------------------------------------------------------------------------

    def _on_ack(self, ack: LeaseAck, now_ns: int) -> list[Action]:
        holding = self._workers.get(ack.worker)
        if holding is None or ack.epoch != self.phase:
            return []
        before = holding.ack.sent if holding.ack else 0
        if now_ns > holding.ack_ns:
            elapsed_s = (now_ns - (holding.ack_ns or self._start_ns)) / NS_PER_S
            if elapsed_s > 0:
                holding.rate_per_s = (ack.sent - before) / elapsed_s
        holding.ack, holding.ack_ns = ack, now_ns
        holding.note(ack.sent_to, ack.last_lease)
        if self.state is not State.SENDING:
            return []
        leases: dict[int, tuple[Lease, ...]] = {}
        if self._wants_more(holding):
            takers = (ack.worker,) if self._closed_loop() else tuple(self._workers)
            leases = self._allocate(now_ns, takers)
        if ack.worker not in leases and holding.expires_ns - now_ns < LEASE_NS // 2:
            leases[ack.worker] = ()
        actions: list[Action] = []
        for worker, granted in leases.items():
            self._workers[worker].expires_ns = now_ns + LEASE_NS
            actions.append(Tell(worker, GrantLeases(granted, now_ns + LEASE_NS)))
        return actions

    def _on_lost(self, event: WorkerLost, now_ns: int) -> list[Action]:
        holding = self._workers.pop(event.worker, None)
        if holding is None or self.phase < 0:
            return []
        before = holding.unsent()
        holding.note(event.sent_to, event.last_lease)
        sent = (holding.ack.sent if holding.ack else 0) + before - holding.unsent()
        self._lost_stats.append((sent, holding.ack))
        if self.state is not State.SENDING:
            return []
        self._returned += [(row[0], row[1], row[2]) for row in holding.leases.values()]
        actions: list[Action] = []
        for worker, leases in self._allocate(now_ns, tuple(self._workers)).items():
            concurrency, prefill = self._quota(worker)
            rank, size = self._place(worker)
            quota = SetQuota(
                phase=self.phase,
                concurrency=concurrency,
                prefill_concurrency=prefill,
                rank=rank,
                size=size,
            )
            actions.append(Tell(worker, quota))
            actions.append(Tell(worker, GrantLeases(leases, now_ns + LEASE_NS)))
        return actions

    def _quota(self, worker: int) -> tuple[int | None, int | None]:
        """Return this worker's share of the phase's concurrency and prefill concurrency."""
        plan = self.plan
        return self._share(worker, plan.concurrency), self._share(worker, plan.prefill_concurrency)

    def _share(self, worker: int, total: int | None) -> int | None:
        if total is None:
            return None
        rank, size = self._place(worker)
        return total // size + (rank < total % size)

    def _place(self, worker: int) -> tuple[int, int]:
        """Return this worker's rank among those that are there, and their number."""
        return sorted(self._workers).index(worker), len(self._workers)

    # --- leases -------------------------------------------------------------------------------

    def _closed_loop(self) -> bool:
        return not self.plan.open_loop

    def _wants_more(self, holding: _Holding) -> bool:
        if self._next_index >= self._limit and not self._returned:
            return False
        if self._closed_loop():
            return holding.unsent() <= max(BLOCK_MIN // 4, holding.rate_per_s * 0.25)
        return holding.unsent() <= self._round_size() // 2

    def _round_size(self) -> int:
        """Return how many open-loop indices each worker gets at a time.

        By the full rate, so that a ramp only makes them last longer. A trace's times may come all
        at once: its indices are leased together.
        """
        if self.plan.request_rate is None:
            return BLOCK_MAX
        rate = self.plan.request_rate
        return max(1, min(BLOCK_MAX, round(rate * HORIZON_S / max(1, len(self._workers)))))

    def _block_size(self, worker: int) -> int:
        """Return how many closed-loop indices to lease: about a second's, less near the end.

        A worker that was not heard of yet has all its slots free: it gets one for each.
        """
        if len(self._workers) == 1:
            return BLOCK_MAX
        holding = self._workers[worker]
        wanted = max(BLOCK_MIN, int(holding.rate_per_s), 2 * (self.plan.concurrency or 1))
        fair = -(-(self._limit - self._next_index) // (2 * len(self._workers)))
        free = 0 if holding.ack else self._share(worker, self.plan.concurrency) or 0
        return max(1, free, min(wanted, fair, BLOCK_MAX))

    def _allocate(self, now_ns: int, takers: tuple[int, ...]) -> dict[int, tuple[Lease, ...]]:
        """Lease returned indices first, then new ones; every taker is in the answer."""
        granted: dict[int, list[Lease]] = {worker: [] for worker in takers}
        if not takers:
            return {}
        for number, (index_from, index_to, stride) in enumerate(self._returned):
            worker = takers[number % len(takers)]
            granted[worker].append(self._lease(worker, index_from, index_to, stride, now_ns))
        self._returned = []
        if self._closed_loop():
            for worker in takers:
                left = self._limit - self._next_index
                size = min(self._block_size(worker), left)
                if size > 0:
                    first = self._next_index
                    self._next_index += size
                    granted[worker].append(self._lease(worker, first, first + size, 1, now_ns))
        elif self._next_index < self._limit:
            first, stride = self._next_index, len(takers)
            end = min(first + self._round_size() * stride, self._limit)
            self._next_index = end
            for rank, worker in enumerate(sorted(takers)):
                granted[worker].append(self._lease(worker, first + rank, end, stride, now_ns))
        return {worker: tuple(leases) for worker, leases in granted.items()}

    def _lease(
        self, worker: int, index_from: int, index_to: int, stride: int, now_ns: int
    ) -> Lease:
        self._lease_id += 1
        holding = self._workers[worker]
        holding.expires_ns = now_ns + LEASE_NS
        if index_from < index_to:
            holding.leases[self._lease_id] = [index_from, index_to, stride]
        return Lease(
            lease_id=self._lease_id,
            epoch=self.phase,
            phase=self.phase,
            index_from=index_from,
            index_to=index_to,
            stride=stride,
            expires_ns=now_ns + LEASE_NS,
        )

    def stats(self, end_ns: int | None = None) -> PhaseStats:
        """Return the phase's counts from the latest acknowledgements."""
        acks = [holding.ack for holding in self._workers.values() if holding.ack]
        everyone = [*acks, *(gone := [ack for _, ack in self._lost_stats if ack])]
        sent_by_lost = sum(sent for sent, _ in self._lost_stats)
        known = sum(ack.completed + ack.failed + ack.cancelled for ack in gone)
        return PhaseStats(
            phase=self.plan.name,
            phase_index=self.phase,
            sent=sum(ack.sent for ack in acks) + sent_by_lost,
            completed=sum(ack.completed for ack in everyone),
            failed=sum(ack.failed for ack in everyone),
            cancelled=sum(ack.cancelled for ack in everyone),
            in_flight=sum(ack.in_flight for ack in acks),
            sessions=sum(ack.sessions for ack in everyone),
            dropped_turns=sum(ack.dropped_turns for ack in everyone),
            lost=sent_by_lost - known,
            start_ns=self._start_ns,
            sent_end_ns=self._sent_end_ns,
            end_ns=end_ns,
        )
