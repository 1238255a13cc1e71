"""A fleet removes what it keeps no longer, and nothing of what is not over."""

import asyncio
import threading
from pathlib import Path

import pytest
from fleet_host import coordinator, spec, until
from fleet_rig import InstantEngine

from steelyard.app.fleet import coordinator as coordinator_module
from steelyard.app.fleet import tidying
from steelyard.app.fleet.errors import UnknownTaskError
from steelyard.cli.fleet_gc import Keep, gc_page
from steelyard.domain.fleet.model import Ending, Outcome
from steelyard.kernel.errors import EndpointUnreachableError, UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import ledger_relay, output_sweep
from steelyard.runtime.fleet.attempt_logs import attempt_directory
from steelyard.runtime.fleet.ledger_relay import journal_parts
from steelyard.runtime.fleet.output_files import Gone, OutputFiles
from steelyard.runtime.fleet.ports import LostLeadershipError
from steelyard.runtime.fleet.retention import Retention
from steelyard.runtime.fleet.worker_logs import remove_logs

AT_ONCE = 1e-9
"""Days: what has ended is kept no longer."""
NOTHING = Retention(days=AT_ONCE, output_days=AT_ONCE, output_gb=0, journal_gb=0, every_s=3600)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(output_sweep, "RESTED_S", 0.0)
    monkeypatch.setattr(tidying, "REST_S", 0.0)


def some_end(lease, spec):
    """The tasks named `live` never do."""
    return None if spec.task_id.startswith("live") else Outcome(ending=Ending.SUCCEEDED)


async def with_tasks(fleet, *names):
    """Have tasks carried out that write something."""
    await fleet.submit([spec(name) for name in names])
    for name in names:
        await until(lambda name=name: attempts(fleet, name))
        for attempt in await fleet.attempts(name):
            place = attempt_directory(fleet_files(fleet), name, attempt.attempt, attempt.token)
            place.mkdir(parents=True)
            (place / "stdout.log").write_text("it worked\n" * 1_000)
        if not name.startswith("live"):
            await fleet.ended([name])


async def attempts(fleet, name):
    return await fleet.attempts(name)


def fleet_files(fleet):
    return Path(fleet.settings.directory)


async def test_what_is_over_goes_and_what_is_not_stays(tmp_path):
    """Rows, outputs and events; and an id that is forgotten is as good as new."""
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=NOTHING) as fleet:
        await with_tasks(fleet, "a", "b", "live")
        planned = await fleet.tidy(dry_run=True)
        assert (planned.done, planned.dry_run, planned.tasks, planned.outputs) == (True, True, 2, 2)
        assert planned.output_bytes >= 20_000
        assert (await fleet.task("a")).state == "completed"
        done = await fleet.tidy()
        assert (done.tasks, done.outputs, done.output_bytes) == (2, 2, planned.output_bytes)
        assert [t.spec.task_id for t in (await fleet.tasks()).tasks] == ["live"]
        assert await fleet.log_paths("live")
        with pytest.raises(UnknownTaskError):
            await fleet.why("a")
        (again,) = await fleet.submit([spec("a", payload={"argv": ["/bin/other"]})])
        assert (again.accepted, again.known) == (True, False)
        await fleet.ended(["a"])
        assert (await fleet.tidy()).tasks == 1


async def test_workers_that_left_long_ago_go_too(tmp_path):
    async with coordinator(tmp_path, InstantEngine(workers=3), keep=NOTHING) as fleet:
        await fleet.dismiss("w1")
        assert (await fleet.tidy(dry_run=True)).workers == 1
        assert (await fleet.tidy()).workers == 1
        assert [worker.worker_id for worker in await fleet.workers()] == ["w0", "w2"]
        kept = fleet._office.ledger.load().workers
        assert sorted(worker.worker_id for worker in kept) == ["w0", "w2"]


async def test_a_coordinator_tidies_up_by_itself(tmp_path):
    often = Retention(days=AT_ONCE, output_days=AT_ONCE, every_s=0.02)
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=often) as fleet:
        await with_tasks(fleet, "live")
        await fleet.submit([spec(f"t{n}") for n in range(50)])

        async def only_the_living():
            return [t.spec.task_id for t in (await fleet.tasks()).tasks] == ["live"]

        await until(only_the_living)
        assert fleet.leads


async def test_the_parts_of_the_journal_go_but_the_last(tmp_path, monkeypatch):
    keep = Retention(days=0, output_days=0, output_gb=0, journal_gb=1e-9, every_s=3600)
    monkeypatch.setattr(ledger_relay.Relay.__init__, "__kwdefaults__", {"part_bytes": 1_000})
    async with coordinator(tmp_path, keep=keep) as fleet:
        journal = fleet_files(fleet) / "journal"
        for number in range(3):
            await fleet.fire("note", number=number, text="x" * 1_000)
            await until(lambda number=number: len(journal_parts(journal)) > number + 1)
        *before, last = journal_parts(journal)
        done = await fleet.tidy()
        left = journal_parts(journal)  # with a newer one, where something happened meanwhile
        assert done.journal_parts >= len(before) >= 3
        assert done.journal_bytes > 3_000
        assert not set(before) & set(left)
        assert left[0] >= last
        assert done.tasks == 0


async def test_a_long_round_is_gone_on_with_by_the_next_question(tmp_path):
    """It answers in time, done or not; two who ask at once do not do it twice."""
    async with coordinator(tmp_path, keep=NOTHING) as fleet:
        await with_tasks(fleet, "a", "b")
        first = await fleet.tidy(within_s=0.0)
        assert not first.done
        one, other = await asyncio.gather(fleet.tidy(), fleet.tidy())
        assert one.done
        assert (one.tasks, other.tasks) == (2, 2)
        assert (await fleet.tidy()).tasks == 0


async def test_what_can_not_be_removed_is_told_and_keeps_nothing_else(tmp_path, caplog):
    """As a link in the place of the outputs."""
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=NOTHING) as fleet:
        await with_tasks(fleet, "a")
        place = fleet_files(fleet) / "attempts"
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
        done = await fleet.tidy()
        assert (done.done, done.tasks, done.left) == (True, 1, 1)
        assert f"Can't tidy up {fleet_files(fleet)}: " in caplog.text
        assert list((tmp_path / "elsewhere").iterdir())
        assert fleet.leads


async def test_logs_are_cut_while_the_coordinator_goes_on(tmp_path, monkeypatch):
    """They may be on a disk that is slow, or hangs."""
    threads = []

    def cut(directory, workers):
        threads.append(threading.current_thread())
        return Gone(left=2)

    monkeypatch.setattr(tidying, "cut_logs", cut)
    async with coordinator(tmp_path, keep=NOTHING) as fleet:
        assert (await fleet.tidy()).left == 2
    assert threads
    assert threading.main_thread() not in threads


class NodesEngine(InstantEngine):
    """Its attempts write on other machines: directories of this one, and one that is gone."""

    def __init__(self, **nodes):
        super().__init__(behave=some_end)
        self.nodes = nodes

    def outputs(self):
        return self.nodes


class Node(OutputFiles):
    def __init__(self, directory):
        super().__init__(directory)
        self.directory, self.is_cut_off = directory, False

    def remove(self, found, *, dry_run):
        if self.is_cut_off:
            raise EndpointUnreachableError("its agent died")
        return super().remove(found, dry_run=dry_run)

    def tidy_logs(self, before_ns, *, dry_run):
        return remove_logs(self.directory, ["ray-old"], dry_run=dry_run)


async def test_what_attempts_left_on_nodes_goes_where_they_can_be_reached(tmp_path, caplog):
    """One that is gone is named, and swept when it is back; nothing of a live attempt goes."""
    n1, n2 = Node(tmp_path / "n1"), Node(tmp_path / "n2")
    engine = NodesEngine(n1=n1, n2=n2, w0=None, forgotten=None)
    async with coordinator(tmp_path, engine, keep=NOTHING) as fleet:
        await with_tasks(fleet, "a", "live")
        for node, name in ((n1, "a"), (n2, "a"), (n1, "live")):
            place = attempt_directory(node.directory, name, 1, 1)
            place.mkdir(parents=True)
            (place / "stdout.log").write_text("it worked\n" * 1_000)
        (n1.directory / "ray-old.log").write_text("it died")
        n2.is_cut_off = True
        planned = await fleet.tidy(dry_run=True)
        done = await fleet.tidy()
        for found in (planned, done):
            assert (found.outputs, found.node_outputs, found.worker_log_bytes) == (1, 1, 7)
            assert found.unreached == ("n2", "w0")
        assert done.node_bytes == planned.node_bytes > 10_000
        assert caplog.text.count("its agent died") == 1, "it is not told each time"
        assert [path.name for path in (n1.directory / "attempts").iterdir()] == ["live"]
        n2.is_cut_off = False
        again = await fleet.tidy()
        assert (again.node_outputs, again.unreached) == (1, ("w0",))
        assert list((n2.directory / "attempts").iterdir()) == []


async def test_logs_of_workers_go_with_them(tmp_path):
    async with coordinator(tmp_path, InstantEngine(workers=2), keep=NOTHING) as fleet:
        for name in ("w0", "w1"):
            (fleet_files(fleet)).mkdir(exist_ok=True)
            (fleet_files(fleet) / f"{name}.log").write_text("it died")
        await fleet.dismiss("w1")
        assert (await fleet.tidy(dry_run=True)).worker_log_bytes == 7
        assert (await fleet.tidy()).worker_log_bytes == 7
        assert [path.name for path in fleet_files(fleet).glob("*.log")] == ["w0.log"]


async def test_only_the_leader_tidies_up(tmp_path):
    with pytest.raises(LostLeadershipError):
        await coordinator(tmp_path).tidy()


def test_the_flags_say_what_the_settings_do():
    assert Keep().retention() == Retention()
    with pytest.raises(UsageError, match="--keep-output-gb"):
        Keep(output_gb=-1).retention()
    with pytest.raises(UsageError, match="--keep-days"):
        Keep(days=float("nan")).retention()


def test_the_page_says_what_could_not_be_removed():
    found = {
        "dry_run": False, "outputs": 1200, "output_bytes": 5, "tasks": 3, "workers": 1,
        "journal_parts": 0, "journal_bytes": 0, "left": 2,
    }  # fmt: skip
    page = gc_page(found)
    assert "Removed the outputs of 1,200 tasks, 5 bytes" in page
    assert "Could not remove 2 directories" in page
    assert "Would remove 3 ended tasks" in gc_page(found | {"dry_run": True, "left": 0})
    nodes = {"node_outputs": 4, "node_bytes": 6_000, "worker_log_bytes": 7, "unreached": ["n2"]}
    page = gc_page(found | nodes)
    assert "Removed the outputs of 4 tasks on nodes, 6,000 bytes" in page
    assert "Removed logs of workers, 7 bytes" in page
    assert "Not reached: n2; what is over there goes when it is back" in page


class SetClock(SystemClock):
    """The system's clock, whose wall time somebody sets."""

    ahead_ns = 0

    def wall_ns(self):
        return SystemClock.wall_ns() + self.ahead_ns


@pytest.fixture
def clock(monkeypatch):
    clock = SetClock()
    monkeypatch.setattr(coordinator_module, "SystemClock", lambda: clock)
    return clock


TEN_YEARS_NS = 3650 * 86_400 * NS_PER_S
OFTEN = Retention(every_s=0.02)
"""What is kept as long as by default, looked at all the time."""


async def test_a_clock_that_is_set_while_a_coordinator_leads_makes_nothing_old(tmp_path, clock):
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=OFTEN) as fleet:
        await with_tasks(fleet, "a", "b")
        for ahead_ns in (TEN_YEARS_NS, 0, -TEN_YEARS_NS):
            clock.ahead_ns = ahead_ns
            await asyncio.sleep(0.1)
            done = await fleet.tidy()
            assert (done.tasks, done.outputs, done.journal_parts) == (0, 0, 0)
        assert fleet.leads


async def test_a_coordinator_that_begins_with_a_clock_far_ahead_removes_nothing_unasked(
    tmp_path, clock, caplog
):
    """A host without a battery for its clock may start so; who asks for it has looked."""
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=OFTEN) as fleet:
        await with_tasks(fleet, "a", "b")
    clock.ahead_ns = TEN_YEARS_NS
    async with coordinator(tmp_path, InstantEngine(behave=some_end), keep=OFTEN) as fleet:
        await asyncio.sleep(0.3)
        assert len((await fleet.tasks()).tasks) == 2
        assert "nothing is removed for a day" in caplog.text
        clock.ahead_ns = 0  # the network's time arrives
        assert (await fleet.tidy()).tasks == 0
        clock.ahead_ns = TEN_YEARS_NS
        assert (await fleet.tidy()).tasks == 2
