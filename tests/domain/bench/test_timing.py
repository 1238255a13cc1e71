"""The timing machine, event by event."""

import msgspec
import pytest

from steelyard.domain.bench.messages import (
    AllPhasesDone,
    BeginPhase,
    GrantLeases,
    LeaseAck,
    PhaseCompleted,
    PhaseSendingComplete,
    PhaseStarted,
    PhaseTimeout,
    StopRun,
    StopSending,
)
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.timing import LEASE_NS, State, TimingMachine
from steelyard.domain.bench.timing_events import (
    Action,
    Announce,
    Ready,
    Tell,
    Tick,
    WakeAt,
    WorkerLost,
)

MS = 1_000_000
S = 1_000_000_000


class Fleet:
    """Workers that send from their leases when told, and acknowledge."""

    def __init__(self, machine: TimingMachine, workers: int) -> None:
        self.machine = machine
        self.now_ns = 0
        self.unsent: dict[int, list[tuple[int, int]]] = {w: [] for w in range(workers)}
        self.leases: dict[int, dict[int, tuple[int, int]]] = {w: {} for w in range(workers)}
        self.sent: dict[int, list[int]] = {w: [] for w in range(workers)}
        self.base = dict.fromkeys(range(workers), 0)
        self.heard: list[object] = []
        self.wakes: list[int] = []

    def feed(self, event: object, at_ns: int | None = None) -> list[Action]:
        self.now_ns = self.now_ns if at_ns is None else at_ns
        actions = self.machine.handle(event, self.now_ns)  # type: ignore[arg-type]
        for action in actions:
            match action:
                case Announce():
                    self.heard.append(action.message)
                case WakeAt():
                    self.wakes.append(action.at_ns)
                case Tell():
                    self._take(action)
        return actions

    def _take(self, action: Tell) -> None:
        worker, message = action.worker, action.message
        if isinstance(message, BeginPhase):
            self.base[worker] = len(self.sent[worker])
        if isinstance(message, BeginPhase | GrantLeases):
            for lease in message.leases:
                indices = range(lease.index_from, lease.index_to, lease.stride)
                self.unsent[worker] += [(i, lease.lease_id) for i in indices]
                self.leases[worker][lease.lease_id] = (lease.index_from, lease.stride)
        if isinstance(message, StopSending):
            self.unsent[worker].clear()

    def send(self, worker: int, count: int) -> None:
        for _ in range(min(count, len(self.unsent[worker]))):
            index, lease = self.unsent[worker].pop(0)
            self.sent[worker].append(index)
            self.leases[worker][lease] = (
                index + self.leases[worker][lease][1],
                self.leases[worker][lease][1],
            )

    def cursors(self, worker: int) -> dict[int, int]:
        return {lease: cursor for lease, (cursor, _) in self.leases[worker].items()}

    def ack(self, worker: int, *, in_flight: int = 0, at_ns: int | None = None) -> list[Action]:
        sent = len(self.sent[worker]) - self.base[worker]
        return self.feed(
            LeaseAck(
                worker=worker,
                phase=self.machine.phase,
                epoch=self.machine.phase,
                sent_to=self.cursors(worker),
                last_lease=max(self.leases[worker], default=0),
                sent=sent,
                completed=sent - in_flight,
                failed=0,
                cancelled=0,
                in_flight=in_flight,
                sessions=sent,
                idle=not self.unsent[worker] and not in_flight,
            ),
            at_ns,
        )

    def kinds(self) -> list[type]:
        return [type(message) for message in self.heard]


def closed(count: int | None = 100, **rest: object) -> PhasePlan:
    return PhasePlan(name="profiling", concurrency=4, request_count=count, **rest)  # type: ignore[arg-type]


def fleet(*phases: PhasePlan, workers: int = 1) -> Fleet:
    result = Fleet(TimingMachine(phases, lead_ns=MS), workers)
    result.feed(Ready(tuple(range(workers))))
    return result


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("rate", [None, 50.0])
def test_every_index_is_sent_exactly_once(workers: int, rate: float | None) -> None:
    """However many workers share a phase, indices 0..n are each sent once."""
    f = fleet(closed(1000, request_rate=rate), workers=workers)
    for step in range(1, 4000):
        for worker in range(workers):
            f.send(worker, 3 + worker)
            f.ack(worker, at_ns=step * 10 * MS)
        if f.machine.state is State.DONE:
            break
    assert sorted(i for sent in f.sent.values() for i in sent) == list(range(1000))
    assert f.kinds() == [PhaseStarted, PhaseSendingComplete, PhaseCompleted, AllPhasesDone]
    assert f.heard[-2].stats.sent == 1000  # type: ignore[attr-defined]


def test_open_loop_leases_interleave_workers() -> None:
    """With a rate each worker holds every n-th index, so that all share each second."""
    f = fleet(PhasePlan(name="p", request_rate=10.0, request_count=40), workers=2)
    assert [i for i, _ in f.unsent[0]][:3] == [0, 2, 4]
    assert [i for i, _ in f.unsent[1]][:3] == [1, 3, 5]


def test_a_lost_workers_unsent_indices_are_leased_again_and_its_sent_ones_never() -> None:
    """Index 0..2 were sent by the worker that died: they are lost, not repeated."""
    f = fleet(closed(200), workers=2)
    f.send(0, 3)
    mine = [0, 1, 2]
    f.feed(WorkerLost(0, f.cursors(0), max(f.leases[0])), at_ns=5 * MS)
    for step in range(300):
        f.send(1, 5)
        f.ack(1, at_ns=(10 + step) * MS)
    assert f.machine.state is State.DONE
    assert sorted(f.sent[1] + mine) == list(range(200))
    stats = f.heard[-2].stats  # type: ignore[attr-defined]
    assert (stats.sent, stats.completed, stats.lost) == (200, 197, 3)


def test_the_survivors_take_over_the_lost_workers_concurrency() -> None:
    """Four slots over two workers are two each; the survivor then has all four."""
    f = fleet(closed(2000), workers=2)
    actions = f.feed(WorkerLost(1, f.cursors(1), max(f.leases[1])), at_ns=MS)
    quotas = [a.message for a in actions if isinstance(a, Tell)]
    assert quotas[0].concurrency == 4  # type: ignore[union-attr]


def test_a_duration_stops_sending_and_grace_cancels() -> None:
    """After 1 s nothing new is sent; after 0.5 s more, what is in flight times out."""
    f = fleet(closed(None, duration_s=1.0, grace_s=0.5))
    f.send(0, 10)
    f.ack(0, in_flight=4, at_ns=500 * MS)
    actions = f.feed(Tick(), at_ns=S + MS)
    stop = next(a.message for a in actions if isinstance(a, Tell))
    assert isinstance(stop, StopSending)
    assert stop.cancel_at_ns == S + MS + S // 2
    f.ack(0, in_flight=4, at_ns=S + 100 * MS)
    f.feed(Tick(), at_ns=S + 502 * MS)
    f.ack(0, at_ns=S + 510 * MS)
    assert f.kinds() == [
        PhaseStarted,
        PhaseSendingComplete,
        PhaseTimeout,
        PhaseCompleted,
        AllPhasesDone,
    ]


def test_stopping_by_hand_drains_and_skips_later_phases() -> None:
    """Ctrl-C ends the phase at hand with its stats, and the phases after it never begin."""
    f = fleet(closed(1000), closed(1000))
    f.send(0, 5)
    f.ack(0, in_flight=2, at_ns=MS)
    f.feed(StopRun(drain=True), at_ns=2 * MS)
    assert f.machine.state is State.DRAINING
    f.ack(0, at_ns=3 * MS)
    assert f.kinds() == [PhaseStarted, PhaseSendingComplete, PhaseCompleted, AllPhasesDone]
    assert f.heard[-1] == AllPhasesDone(cancelled=True)


def test_a_second_stop_cancels_at_once() -> None:
    """Stopping without drain moves the cancel time to now."""
    f = fleet(closed(1000))
    f.send(0, 5)
    f.ack(0, in_flight=5, at_ns=MS)
    f.feed(StopRun(drain=True), at_ns=2 * MS)
    actions = f.feed(StopRun(drain=False), at_ns=3 * MS)
    stop = next(a.message for a in actions if isinstance(a, Tell))
    assert stop.cancel_at_ns == 3 * MS  # type: ignore[union-attr]


def test_leases_are_renewed_while_the_worker_is_heard() -> None:
    """A worker whose requests take minutes keeps its leases by acknowledging."""
    f = fleet(closed(50))
    actions = f.ack(0, in_flight=4, at_ns=LEASE_NS * 3 // 4)
    renewals = [a.message for a in actions if isinstance(a, Tell)]
    assert renewals == [GrantLeases((), LEASE_NS * 3 // 4 + LEASE_NS)]


def test_phases_follow_each_other() -> None:
    """Warm-up ends before profiling begins, with counts of its own."""
    f = fleet(closed(5, kind="warmup"), closed(7))
    for step in range(20):
        f.send(0, 2)
        f.ack(0, at_ns=step * MS)
    completed = [m.stats.sent for m in f.heard if isinstance(m, PhaseCompleted)]
    assert completed == [5, 7]
    assert msgspec.structs.asdict(f.heard[-1]) == {"cancelled": False}  # type: ignore[arg-type]


def test_an_old_phases_ack_is_ignored() -> None:
    """A late acknowledgement of the phase before changes nothing."""
    f = fleet(closed(5))
    late = LeaseAck(
        worker=0, phase=9, epoch=9, sent_to={}, last_lease=0, sent=99, completed=99, failed=0,
        cancelled=0, in_flight=0, sessions=0, idle=True,
    )  # fmt: skip
    assert f.feed(late, at_ns=MS) == []


def test_without_workers_the_run_ends() -> None:
    """When the last worker is lost the phase completes and the run is over."""
    f = fleet(closed(100))
    f.feed(WorkerLost(0, {}, 0), at_ns=MS)
    assert f.kinds() == [PhaseStarted, PhaseSendingComplete, PhaseCompleted, AllPhasesDone]


def test_a_lost_acknowledgement_costs_nothing() -> None:
    """The report that a lease is done never came; the next one, without it, says the same."""
    f = fleet(closed(50))
    f.send(0, 50)
    (lease,) = f.leases[0]
    f.leases[0].clear()  # the worker forgets a finished lease; the ack that ended it was dropped
    f.machine.handle(
        LeaseAck(
            worker=0, phase=0, epoch=0, sent_to={}, last_lease=lease, sent=50, completed=50,
            failed=0, cancelled=0, in_flight=0, sessions=50, idle=True,
        ),
        MS,
    )  # fmt: skip
    assert f.machine.state is State.DONE


def replay(**more: object) -> TimingMachine:
    phase = PhasePlan(name="profiling", arrival="fixed_schedule", **more)  # type: ignore[arg-type]
    return TimingMachine((phase,), lead_ns=MS)


def test_a_fixed_schedule_ends_with_its_trace() -> None:
    """Each of its conversations is leased once, and no index behind them."""
    fleet = Fleet(replay(), 2)
    fleet.feed(Ready((0, 1), scheduled=7))
    assert sorted(i for w in (0, 1) for i, _ in fleet.unsent[w]) == list(range(7))


def test_a_count_ends_a_fixed_schedule_earlier() -> None:
    """A count above the trace's length adds nothing to it."""
    for count, leased in ((3, 3), (9, 7)):
        fleet = Fleet(replay(session_count=count), 1)
        fleet.feed(Ready((0,), scheduled=7))
        assert [i for i, _ in fleet.unsent[0]] == list(range(leased))


def test_a_long_trace_is_leased_without_knowing_its_rate() -> None:
    """Even when all of it is due at once: no acknowledgement is waited for between requests."""
    fleet = Fleet(replay(), 1)
    fleet.feed(Ready((0,), scheduled=200_000))
    assert len(fleet.unsent[0]) == 200_000


@pytest.mark.parametrize(("requests", "first"), [(8, [4, 4]), (7, [4, 3]), (80, [20, 15])])
def test_every_slot_of_a_closed_loop_has_an_index_at_the_start(
    requests: int, first: list[int]
) -> None:
    """However few requests there are, a burst is released at once over all workers."""
    phase = PhasePlan(name="p", concurrency=8, request_count=requests)
    fleet = Fleet(TimingMachine((phase,), lead_ns=0), 2)
    fleet.feed(Ready((0, 1)), 0)
    assert [len(fleet.unsent[worker]) for worker in (0, 1)] == first
