"""Seats of workers elsewhere: who may take one, and what is known when one is empty again."""

import msgspec
import pytest

from steelyard import __version__
from steelyard.domain.bench.join_messages import (
    AskSecrets,
    EndRole,
    HostIdentity,
    JoinRun,
    RoleEnded,
    RoleSample,
)
from steelyard.domain.bench.timing import UNBOUNDED
from steelyard.kernel.errors import UsageError
from steelyard.runtime.board import Board, board_path
from steelyard.runtime.remote_seats import (
    MACHINE_LIMIT_NS,
    WORD_WAIT_NS,
    RemoteSeats,
    RemoteSpec,
)
from steelyard.runtime.roles import RoleSpec, late_error, services_of, vitals_of
from steelyard.runtime.vitals import REMOTE_LIMIT_NS

S = 10**9
BOX = HostIdentity(name="box1", host_id="box1-1", clock_id="c")


class FakeBroker:
    """Has a port that takes handlers and posts."""

    def __init__(self):
        self.port, self.handlers, self.posted, self.keys = self, {}, [], None

    def subscribe(self, message_type, handler):
        self.handlers[message_type] = handler

    def post(self, target, message):
        self.posted.append((target, message))

    def listen(self, address, keys):
        self.keys = keys
        return address.replace(":0", ":7777")

    async def tell(self, message):
        return await self.handlers[type(message)](message)


class Placed:
    """A placement that remembers."""

    def __init__(self):
        self.joins, self.lost, self.stopped = [], None, 0

    async def place(self, joins, lost):
        self.joins, self.lost = list(joins), lost

    async def stop(self):
        self.stopped += 1


class Clock:
    now_ns = 100 * S

    def mono_ns(self):
        return self.now_ns

    wall_ns = mono_ns


class Run:
    """Two seats of a run, and what its supervisor was told."""

    def __init__(self, tmp_path):
        self.clock, self.broker, self.placement = Clock(), FakeBroker(), Placed()
        self.ends, self.join_file = [], tmp_path / "worker.join"
        self.services = services_of(RoleSpec(service_type="worker", target="a:B", count=2))
        self.board = Board(board_path(tmp_path), 2, create=True)
        spec = RemoteSpec(run_id="r", placement=self.placement, join_file=self.join_file,
                          secrets={"KEY": "sesame"})  # fmt: skip
        self.roles = RemoteSeats(
            spec,
            {service.peer.service_id: service for service in self.services},
            controller_id="ctl",
            run_dir=tmp_path,
            clock=self.clock,
            log_level="INFO",
            on_end=self.ended,
        )

    def ended(self, service, reason, in_order):
        service.ended.set()
        self.ends.append((service.peer.index, reason, in_order))

    def knock(self, index, **changes):
        fields = {"service_id": self.services[index].peer.service_id, "index": index,
                  "host": BOX, "pid": 5, "version": __version__}  # fmt: skip
        return self.broker.tell(JoinRun(**(fields | changes)))

    async def seated(self):
        await self.roles.open(self.broker)
        for index, service in enumerate(self.services):
            await self.knock(index)
            service.registered = True
            service.vitals = vitals_of(service, self.clock.now_ns)
        return self.services[1]

    def look(self, after_ns):
        self.clock.now_ns += after_ns
        for service in self.services:
            self.roles.look_at(service, self.clock.now_ns)

    def beat(self, index):
        self.services[index].vitals.seen(self.clock.now_ns)

    async def sample(self, index, state="S"):
        name = self.services[index].peer.service_id
        await self.broker.tell(RoleSample(service_id=name, state=state, cpu_ticks=1))

    def word(self, index, code=-9):
        name = self.services[index].peer.service_id
        return RoleEnded(service_id=name, code=code, reason="killed by SIGKILL",
                         leases={4: 17}, last_lease=6)  # fmt: skip


@pytest.fixture
def run(tmp_path):
    made = Run(tmp_path)
    yield made
    made.board.close()


async def test_each_worker_gets_a_join_and_the_file_has_one_for_any(run):
    """A placement is given one for each, by number; the file is gone when the run is over."""
    await run.roles.open(run.broker)
    assert [join.index for join in run.placement.joins] == [0, 1]
    assert {join.addresses for join in run.placement.joins} == {("tcp://127.0.0.1:7777",)}
    assert not any(join.server_secret for join in run.placement.joins)
    assert run.join_file.stat().st_mode & 0o777 == 0o600
    await run.roles.stop()
    await run.roles.stop()
    assert (run.placement.stopped, run.join_file.exists()) == (1, False)


async def test_a_seat_is_taken_once_by_the_right_one(run):
    """Another number, version or a second taker is refused, in words for that person."""
    await run.roles.open(run.broker)
    with pytest.raises(UsageError, match="another version"):
        await run.knock(1, version="0")
    with pytest.raises(UsageError, match="no worker 1"):
        await run.knock(1, service_id="worker_x")
    assert (await run.knock(1)).host.name
    with pytest.raises(UsageError, match="is there already, on box1"):
        await run.knock(1)


async def test_a_lost_seat_stays_empty(run):
    """A pod that is started again can't take the place: its indices are others' by then."""
    service = await run.seated()
    await run.broker.tell(run.word(1))
    service.death = service.died("gone", 1)
    with pytest.raises(UsageError, match="is lost"):
        await run.knock(1)


async def test_the_keepers_word_is_on_the_board_before_the_loss_is_told(run):
    """How far it had sent its leases is known exactly, as of a forked worker."""
    await run.seated()
    await run.broker.tell(run.word(1))
    assert run.ends == [(1, "killed by SIGKILL", False)]
    assert (run.board.leases(1), run.board.last_lease(1)) == ({4: 17}, 6)
    assert run.services[1].died("x", 1).host == "box1"


async def test_an_end_in_order_is_told_as_one(run):
    """The supervisor knows whether it asked for it."""
    await run.seated()
    await run.broker.tell(run.word(0, code=0))
    assert run.ends == [(0, "ended without being asked to", True)]


async def test_a_machine_that_is_silent_is_lost_with_all_that_it_was_leased(run):
    """It may have sent everything: all leases count as sent, none is sent again."""
    await run.seated()
    run.look(MACHINE_LIMIT_NS)
    assert run.ends == []
    run.beat(0)
    run.look(1)
    assert [end[:1] for end in run.ends] == [(1,)]
    assert "not heard of for 6.0 s" in run.ends[0][1]
    assert (run.board.leases(1), run.board.last_lease(1)) == ({}, UNBOUNDED)


async def test_a_machine_that_falls_silent_before_it_registered_is_lost_too(run):
    """Its keeper was let in and died: the run does not wait for it up to the join timeout."""
    await run.roles.open(run.broker)
    await run.knock(1)
    run.look(MACHINE_LIMIT_NS + 1)
    assert [end[0] for end in run.ends] == [1]


async def test_a_watcher_that_was_late_itself_accuses_nobody(run):
    """After a pause of the controller a machine has time to be heard again."""
    await run.seated()
    run.clock.now_ns += 10 * MACHINE_LIMIT_NS
    for service in run.services:
        service.vitals.excuse(run.clock.now_ns)
    run.roles.excuse(run.clock.now_ns)
    run.look(0)
    assert run.ends == []


async def test_a_worker_that_hangs_is_killed_by_its_keeper_which_says_how_far_it_was(run):
    """The kernel there is the second witness: it sleeps, so it will not speak again."""
    service = await run.seated()
    for _ in range(3):
        run.clock.now_ns += REMOTE_LIMIT_NS // 2
        run.beat(0)
        await run.sample(1)
        run.look(0)
    assert run.broker.posted == [
        (f"{service.peer.service_id}.keeper", EndRole(service.peer.service_id))
    ]
    assert run.ends == []
    await run.broker.tell(run.word(1))
    assert "its process sleeps" in run.ends[0][1]
    assert run.board.leases(1) == {4: 17}


async def test_a_busy_worker_is_left_alone(run):
    """Its process is running, or waits for a core: it gets the time a forked one gets."""
    await run.seated()
    for _ in range(6):
        run.clock.now_ns += REMOTE_LIMIT_NS // 2
        run.beat(0)
        await run.sample(1, state="R")
        run.look(0)
    assert (run.ends, run.broker.posted) == ([], [])


async def test_who_placed_it_may_know_first_and_the_keeper_still_has_a_word(run):
    """A cluster tells of a dead node in its own words; they stand in the verdict."""
    await run.seated()
    run.placement.lost(1, "node n7 is gone")
    run.placement.lost(1, "again")
    assert run.ends == []
    run.look(WORD_WAIT_NS - 1)
    assert run.ends == []
    run.look(1)
    assert run.ends == [(1, "node n7 is gone", False)]
    assert run.board.last_lease(1) == UNBOUNDED
    run.placement.lost(1, "once more")
    assert len(run.ends) == 1


async def test_a_worker_that_never_came_is_lost_at_once(run):
    """There is nobody to ask how far it was."""
    await run.roles.open(run.broker)
    run.placement.lost(0, "no room")
    assert run.ends == [(0, "no room", False)]


def test_workers_that_do_not_come_are_named_by_number_with_what_to_do(run, tmp_path):
    """Nobody reached the run: exit code 4; a forked role that is late is ours, and a bug."""
    error = late_error(run.services, 300, tmp_path)
    assert error.exit_code == 4
    assert "did not join: 0, 1" in str(error)
    assert "--join-timeout" in str(error)
    (forked,) = services_of(RoleSpec(service_type="timing_manager", target="a:B"))
    assert late_error([forked], 30, tmp_path).exit_code == 70


async def test_secrets_are_told_by_name_only_as_far_as_the_plan_names_them(run):
    """A worker can't ask for the rest of the controller's environment."""
    await run.seated()
    told = await run.broker.tell(AskSecrets(("KEY", "HOME", "PATH")))
    assert told.values == {"KEY": "sesame"}
    assert "sesame" not in repr(told)


@pytest.mark.parametrize("part", ["name", "host_id", "clock_id"])
@pytest.mark.parametrize("odd", ["box\x1b[2J", "box\n| 1 |", "b" * 256])
async def test_a_machine_whose_name_no_report_can_show_does_not_come_in(run, part, odd):
    await run.roles.open(run.broker)
    with pytest.raises(UsageError, match="can't be shown") as caught:
        await run.knock(0, host=msgspec.structs.replace(BOX, **{part: odd}))
    assert str(caught.value).isprintable()
    await run.knock(0)  # and its seat is free


async def test_a_join_file_that_can_not_be_taken_away_keeps_no_worker_from_its_end(run, caplog):
    await run.seated()
    run.join_file.unlink()
    run.join_file.mkdir()
    await run.roles.stop()
    assert run.placement.stopped == 1
    assert "is still there" in caplog.text
