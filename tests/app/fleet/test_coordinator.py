"""The coordinator takes tasks once, has them carried out, and answers for each."""

import asyncio

import pytest
from fleet_host import Plain, coordinator, fleet_host, spec, until
from fleet_rig import InstantEngine

from steelyard.app.fleet import office
from steelyard.app.fleet.errors import RefusedError, UnknownTaskError, UnknownWorkerError
from steelyard.app.fleet.metrics import prometheus
from steelyard.app.fleet.submit import submit
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.domain.fleet.requirements import Requirements
from steelyard.domain.fleet.states import TaskState
from steelyard.kernel.errors import (
    EXIT_UNREACHABLE,
    FileError,
    PluginError,
    SteelyardError,
    UsageError,
)
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_queries import TaskFilter
from steelyard.runtime.fleet.ports import LostLeadershipError


async def ended(fleet, name):
    return (await fleet.task(name)).state in ("completed", "failed", "cancelled", "dead-letter")


def idle(lease, spec):
    """An engine's worker that never comes to an end."""


async def test_tasks_are_carried_out_and_answered_for(tmp_path):
    async with coordinator(tmp_path) as fleet:
        submitted = await fleet.submit([spec("a"), spec("b", depends_on=("a",))])
        assert [(s.task_id, s.accepted, s.known) for s in submitted] == [
            ("a", True, False), ("b", True, False),
        ]  # fmt: skip
        await until(lambda: ended(fleet, "b"))
        task = await fleet.task("a")
        assert (task.state, task.outcome.result) == (TaskState.COMPLETED, 1)
        (decision,) = await fleet.decisions("a")
        assert (decision.scheduler, decision.taken) == ("first", True)
        (attempt,) = await fleet.attempts("a")
        assert attempt.outcome.ending == Ending.SUCCEEDED
        assert await fleet.why("a") == ("It completed.",)
        page = await fleet.tasks(TaskFilter(states=(TaskState.COMPLETED,)))
        assert {each.spec.task_id for each in page.tasks} == {"a", "b"}
        assert (await fleet.counts())[TaskState.COMPLETED] == 2
        names = [told.name for told in await fleet.events()]
        assert names[0] == "coordinator_startup"
        assert names.count("task_completed") == 2
        assert [w.worker_id for w in await fleet.workers()] == ["w0", "w1"]


async def test_submitting_again_changes_nothing(tmp_path):
    async with coordinator(tmp_path) as fleet:
        first = spec("a", payload={"argv": ["x"]}, user="u", idempotency_key="k")
        await fleet.submit([first])
        await until(lambda: ended(fleet, "a"))
        same, twin, other = await fleet.submit([
            first,
            spec("twin", user="u", idempotency_key="k"),
            spec("a", payload={"argv": ["y"]}),
        ])  # fmt: skip
        # The second `a` of one batch is another task of that id.
        assert (same.task_id, same.accepted, same.known) == ("a", True, True)
        assert (twin.task_id, twin.known, twin.asked) == ("a", True, "twin")
        assert (other.accepted, other.refusal) == (False, "its id comes twice")
        (other,) = await fleet.submit([spec("a", payload={"argv": ["y"]})])
        assert other.refusal == "there is a task of that id"
        assert (await fleet.counts())[TaskState.COMPLETED] == 1


async def test_a_task_without_an_id_gets_one(tmp_path):
    async with coordinator(tmp_path) as fleet:
        one, two = await fleet.submit([spec(""), spec("")])
        assert one.accepted
        assert two.accepted
        assert one.task_id != two.task_id
        assert (await fleet.task(one.task_id)).spec.submitted_ns > 0


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (spec("../up"), "its id must be"),
        (spec("a", timeout_s=0), "its timeout_s can't be 0"),
        (spec("a", priority=1 << 70), "its priority can't be"),
        (spec("a", payload={"call": object()}), "its content is not plain values"),
        (spec("a", payload={"text": "x" * (2 << 20)}), "put the rest into a file"),
        (spec("a", kind="comand"), "there is no task kind 'comand'; installed: command. Did you"),
        (spec("a", depends_on=("nobody",)), "it depends on nobody, which nobody submitted"),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_the_reason_and_the_rest_is_taken(
    tmp_path, wrong, reason
):
    async with coordinator(tmp_path) as fleet:
        refused, taken = await fleet.submit([wrong, spec("fine")])
        assert reason in refused.refusal
        assert taken.accepted
        await until(lambda: ended(fleet, "fine"))


async def test_a_task_is_cancelled_once(tmp_path):
    engine = InstantEngine(behave=idle)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: engine.submitted)
        await fleet.cancel("a", "not needed")
        await until(lambda: engine.cancelled)
        task = await fleet.task("a")
        assert (task.state, task.reason) == (TaskState.CANCELLED, "not needed")
        with pytest.raises(RefusedError, match="it is cancelled"):
            await fleet.cancel("a")
        with pytest.raises(UnknownTaskError, match="no such task"):
            await fleet.cancel("nobody")


async def test_why_tells_what_a_worker_lacks(tmp_path):
    async with coordinator(tmp_path) as fleet:
        await fleet.submit([spec("big", requirements=Requirements(cpu_cores=1000))])
        assert await fleet.why("big") == (
            "No worker has what it needs; it waits for one that does.",
            "2 of 2 workers: needs 1000 CPU cores, has 64.",
        )
        with pytest.raises(UnknownTaskError):
            await fleet.why("nobody")


async def test_a_drained_worker_takes_nothing_more(tmp_path):
    engine = InstantEngine(workers=1)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.drain("w0")
        await fleet.submit([spec("a")])
        await asyncio.sleep(0.05)
        assert (await fleet.task("a")).state == TaskState.PENDING
        assert await fleet.why("a") == ("1 of 1 workers: draining.",)
        await fleet.drain("w0", on=False)
        await until(lambda: ended(fleet, "a"))
        with pytest.raises(UnknownWorkerError):
            await fleet.drain("nobody")


async def test_the_scheduler_changes_while_tasks_wait(tmp_path):
    engine = InstantEngine(workers=1, slots=1, behave=idle)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec("a"), spec("b")])
        await until(lambda: engine.submitted)
        with pytest.raises(PluginError, match="first"):
            await fleet.use_scheduler("frist")
        await fleet.use_scheduler("last")
        assert [(s.name, s.active) for s in fleet.schedulers()] == [
            ("first", False), ("last", True),
        ]  # fmt: skip
        await fleet.cancel("a")
        await until(lambda: len(engine.submitted) == 2)
        (decision,) = await fleet.decisions("b")
        assert decision.scheduler == "last"


async def test_what_happens_is_followed_as_it_comes(tmp_path):
    async with coordinator(tmp_path) as fleet:
        seen = []

        async def follow():
            async for told in fleet.follow():
                seen.append(told.name)
                if told.name == "task_completed":
                    return

        following = asyncio.create_task(follow())
        async with asyncio.timeout(30):
            while not seen:
                await fleet.fire("anything")
                await asyncio.sleep(0.01)
        await fleet.submit([spec("a")])
        await asyncio.wait_for(following, 30)
    assert [name for name in seen if name != "anything"] == [
        "task_created", "task_assigned", "task_started", "task_completed",
    ]  # fmt: skip


async def test_metrics_count_what_happened(tmp_path):
    engine = InstantEngine(workers=1, slots=1, behave=idle)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec(f"t{n}") for n in range(5)])
        await until(lambda: engine.submitted)
        await until(lambda: fleet.metrics().events.get("task_created") == 5)
        metrics = fleet.metrics()
        assert metrics.leads
        assert metrics.tasks["leased"] + metrics.tasks["running"] == 1
        assert (metrics.ready, metrics.slots, metrics.slots_taken) == (4, 1, 1)
        assert metrics.queue_age_s > 0
        assert metrics.per_second["submitted"] > 0
        text = prometheus(metrics)
    assert 'steelyard_fleet_tasks{state="pending"} 4\n' in text
    assert "steelyard_fleet_slots 1\n" in text
    assert 'steelyard_fleet_scheduler{scheduler="first",name="queued"} 4.0\n' in text


async def test_the_next_coordinator_goes_on_and_knows_what_has_ended(tmp_path):
    async with coordinator(tmp_path) as fleet:
        await fleet.submit([spec("done")])
        await until(lambda: ended(fleet, "done"))
    engine = InstantEngine(behave=idle)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec("running")])
        await until(lambda: engine.submitted)
    async with coordinator(tmp_path) as fleet:
        await until(lambda: ended(fleet, "running"))
        task = await fleet.task("running")
        # It went back when the coordinator stopped, and nobody is to blame for that.
        assert (task.attempt, task.losses, task.lost_on) == (2, 0, ())
        assert (await fleet.task("done")).state == TaskState.COMPLETED
        with pytest.raises(RefusedError, match="it is completed"):
            await fleet.cancel("done")


async def test_a_second_coordinator_does_not_lead(tmp_path, monkeypatch):
    monkeypatch.setattr(office, "PATIENCE", 0.01)
    async with coordinator(tmp_path, leader_ttl_s=60.0):
        second = coordinator(tmp_path, leader_ttl_s=60.0)
        with pytest.raises(LostLeadershipError, match="Another coordinator leads") as caught:
            await second.start()
        assert caught.value.exit_code == EXIT_UNREACHABLE


async def test_one_whose_ledger_fails_says_why_until_it_leads_again(tmp_path, monkeypatch, caplog):
    """Also when it can't even take the lease; and it says so once, however often it tries."""
    monkeypatch.setattr(office, "AGAIN_S", 0.05)
    write, writes = Database.write, []

    def fail(*_):
        writes.append(1)
        raise FileError("Can't use the ledger: disk full")

    async with coordinator(tmp_path) as fleet:
        await fleet.submit([spec("a")])
        monkeypatch.setattr(Database, "write", fail)
        with pytest.raises(FileError, match="disk full"):
            await fleet.submit([spec("b")])
        await until(lambda: not fleet.leads and len(writes) > 5)
        with pytest.raises(FileError, match="disk full"):
            await fleet.submit([spec("c")])
        monkeypatch.setattr(Database, "write", write)
        await until(lambda: fleet.leads)
        await fleet.submit([spec("d")])
        await until(lambda: ended(fleet, "d"))
        page = await fleet.tasks()
        assert {task.spec.task_id for task in page.tasks} == {"a", "d"}
    assert caplog.text.count("disk full") == 1


async def test_one_that_stands_by_hands_on_and_takes_over(tmp_path):
    async with coordinator(tmp_path, leader_ttl_s=60.0) as first:
        second = coordinator(tmp_path, leader_ttl_s=60.0, stand_by=True)
        await second.start()
        assert not second.leads
        await second.submit([spec("a")])
        await until(lambda: ended(second, "a"))
        assert await second.why("a") == ("It completed.",)
        (again,) = await second.submit([spec("a")])
        assert again.known
        await first.stop()
        await until(lambda: second.leads)
        await second.submit([spec("b")])
        await until(lambda: ended(second, "b"))
        await second.stop()


async def test_a_coordinator_that_does_not_run_says_so(tmp_path):
    fleet = coordinator(tmp_path)
    with pytest.raises(SteelyardError, match="not running"):
        await fleet.task("a")
    await fleet.start()
    with pytest.raises(UsageError, match="started before"):
        await fleet.start()
    await fleet.stop()
    with pytest.raises(SteelyardError):
        await fleet.submit([spec("a")])


async def test_an_engine_that_cannot_begin_is_told_at_the_start(tmp_path):
    class Broken(InstantEngine):
        async def start(self):
            raise SteelyardError("No room on this machine")

    fleet = coordinator(tmp_path, Broken())
    with pytest.raises(SteelyardError, match="No room"):
        await fleet.start()


async def test_a_wrong_scheduler_is_told_before_anything_is_made(tmp_path):
    fleet = coordinator(tmp_path, host=fleet_host())
    fleet.settings.engines.clear()
    other = type(fleet)(
        type(fleet.settings)(ledger=str(tmp_path / "x.sqlite"), scheduler="frist"), host=fleet.host
    )
    with pytest.raises(PluginError, match="Did you mean 'first'"):
        await other.start()
    assert not (tmp_path / "x.sqlite").exists()


async def test_every_attempt_that_fails_is_told_of_once(tmp_path):
    engine = InstantEngine(
        behave=lambda lease, spec: Outcome(ending=Ending.FAILED, error="out of memory")
    )
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: ended(fleet, "a"))
        assert await fleet.why("a") == (
            "It failed: out of memory.", "attempt 1: out of memory",
        )  # fmt: skip


async def test_tasks_are_waited_for_by_a_coordinator_of_their_own(tmp_path):
    settings = coordinator(tmp_path).settings
    submitted, tasks = await submit(
        [spec("a"), spec("../b")], settings, host=fleet_host(), timeout_s=60
    )
    assert [each.accepted for each in submitted] == [True, False]
    assert {name: task.state for name, task in tasks.items()} == {"a": TaskState.COMPLETED}


async def test_who_waits_is_told_when_the_coordinator_ends(tmp_path):
    fleet = coordinator(tmp_path, InstantEngine(behave=idle))
    await fleet.start()
    await fleet.submit([spec("a")])
    waiting = asyncio.create_task(fleet.ended(["a"]))
    await asyncio.sleep(0.05)
    await fleet.stop()
    with pytest.raises(SteelyardError):
        await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize("answer", [None, ["no spec"], 7])
async def test_a_task_kind_that_is_broken_refuses_its_tasks_and_no_others(tmp_path, answer):
    """What it raises or gives is its fault, by its name; the rest of the submission is taken."""

    class Broken(Plain):
        def prepare(self, spec, earlier):
            return answer if answer is not None else 1 / 0

    host = fleet_host()
    host.register("task_kind", "broken", Broken)
    async with coordinator(tmp_path, host=host) as fleet:
        refused, taken = await fleet.submit([TaskSpec(task_id="b", kind="broken"), spec("fine")])
    assert "Plugin task_kind 'broken' failed to prepare a task: " in refused.refusal
    assert taken.accepted
