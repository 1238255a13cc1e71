"""Who is for one project sees nothing of another's, in events of any kind, live or past."""

import asyncio

import pytest
from fleet_host import coordinator, spec, until
from fleet_rig import InstantEngine

from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Backoff, Ending, Outcome
from steelyard.domain.fleet.ports import EngineEvent

NOW = Backoff(first_s=0.01, jitter=0.0)


@pytest.fixture
async def fleet(tmp_path):
    """A fleet in which everything happened that can, to tasks of projects `a` and `b`."""

    def behave(lease, task):
        if task.task_id.startswith("fails"):
            return Outcome(ending=Ending.FAILED, error=f"{task.project}'s secret")
        if task.task_id.startswith("lost") and lease.attempt == 1:
            return None
        if task.task_id.startswith("poison"):
            return None
        return Outcome(ending=Ending.SUCCEEDED, result=f"{task.project}'s secret")

    engine = InstantEngine(workers=1, slots=8, behave=behave)
    async with coordinator(tmp_path, engine) as found:
        for project in ("a", "b"):
            tasks = [spec(f"{kind}-{project}", project=project, backoff=NOW)
                     for kind in ("fails", "lost", "ends")]  # fmt: skip
            poison = spec(f"poison-{project}", project=project, losses_max=0, backoff=NOW)
            await found.submit([*tasks, poison])
        await until(lambda: len(engine.submitted) == 8)
        engine.say(EngineEvent(kind="worker_died", worker_id="w0", reason="no power"))
        await found.ended([f"poison-{project}" for project in ("a", "b")])
        again = (await engine.start())[0]
        engine.say(
            EngineEvent(kind="worker_joined", worker_id="w0", capabilities=again[1], slots=8)
        )
        await found.ended([f"{kind}-{p}" for kind in ("fails", "lost", "ends") for p in ("a", "b")])
        await found.fire("deployed", project="b", what="b's secret")
        await found.fire("deployed", task_id="ends-a", what="a's")
        await found.fire("deployed", task_id="ends-b", what="b's secret")
        await until(lambda: _there(found, "deployed", 3))
        yield found


async def _there(fleet, name, number):
    return sum(told.name == name for told in await fleet.events(0, 1_000)) == number


async def test_of_another_project_there_is_not_a_word(fleet):
    whole = await fleet.event_page(0, 1_000)
    page = await fleet.event_page(0, 1_000, "", ("a",))
    assert "b's secret" in str(whole)
    assert "b's secret" not in str(page)
    assert "-b'" not in str(page)
    names = [told.name for told in page.items]
    assert names.count("task_created") == 4
    assert names.count("deployed") == 1
    assert {FleetHook.WORKER_REGISTERED, FleetHook.WORKER_FAILED, FleetHook.RECOVERY_STARTED,
            FleetHook.RECOVERY_FAILED, FleetHook.TASK_FAILED} <= set(names)  # fmt: skip
    (begun,) = [told for told in page.items if told.name == FleetHook.RECOVERY_STARTED]
    assert sorted(begun.arguments["task_ids"]) == ["lost-a", "poison-a"]
    assert page.next == whole.next
    assert {told.seq for told in page.items} < {told.seq for told in whole.items}


async def test_pages_lead_past_what_is_not_seen(fleet):
    """Pages of two, most of them empty for a project without tasks, come to the end."""
    seen, place = [], 0
    while (page := await fleet.event_page(place, 2, "", ("a",))).next > place:
        seen += page.items
        place = page.next
    assert [t.seq for t in seen] == [
        t.seq for t in (await fleet.event_page(0, 1_000, "", ("a",))).items
    ]
    nothing = await fleet.event_page(0, 1_000, "", ("c",))
    assert {told.name for told in nothing.items} <= {
        "coordinator_startup", "worker_registered", "worker_failed",
    }  # fmt: skip
    assert nothing.next == place


async def test_both_projects_together_see_both(fleet):
    page = await fleet.event_page(0, 1_000, "", ("a", "b"))
    assert sum(told.name == "task_created" for told in page.items) == 8
    of_task = await fleet.event_page(0, 1_000, "ends-b", ("a",))
    assert of_task.items == ()


async def test_what_comes_is_seen_as_narrowly_as_what_was(fleet):
    seen = []

    async def follow():
        async for told in fleet.follow(None, "", ("a",)):
            seen.append(told)
            if told.arguments.get("task_id") == "last-a" and told.name == "task_completed":
                return

    following = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        while not seen:
            await fleet.fire("anything", task_id="ends-a")
            await asyncio.sleep(0.01)
    await fleet.submit([spec("other-b", project="b")])
    await fleet.submit([spec("last-a", project="a")])
    await asyncio.wait_for(following, 30)
    assert [told.name for told in seen if told.name != "anything"] == [
        "task_created", "task_assigned", "task_started", "task_completed",
    ]  # fmt: skip


async def test_workers_name_no_leases_of_others(tmp_path):
    engine = InstantEngine(workers=1, behave=lambda lease, task: None)
    async with coordinator(tmp_path, engine) as fleet:
        await fleet.submit([spec("mine", project="a"), spec("yours", project="b")])
        await until(lambda: len(engine.submitted) == 2)
        (whole,) = await fleet.workers()
        (seen,) = await fleet.workers(("a",))
        assert sorted(whole.holds.values()) == ["mine", "yours"]
        assert sorted(seen.holds.values()) == ["", "mine"]
        assert seen.holds.keys() == whole.holds.keys()
