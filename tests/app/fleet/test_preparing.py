"""What is submitted is prepared within bounds, whatever its kind does."""

import asyncio
import threading
from types import SimpleNamespace

import msgspec
import pytest
from fleet_host import Plain, coordinator, fleet_host, spec

from steelyard.app.fleet import preparing
from steelyard.app.fleet.parts import Parts
from steelyard.app.fleet.preparing import Preparer
from steelyard.app.fleet.settings import FleetSettings


class Splits(Plain):  # type: ignore[misc]  # support modules are Any to mypy
    """Makes four of one."""

    def prepare(self, spec, earlier):
        return [msgspec.structs.replace(spec, task_id=f"{spec.task_id}-{n}") for n in range(4)]


class Hangs(Plain):  # type: ignore[misc]
    """Waits for something that never comes, for tasks called so; let go by the test in the end."""

    over = threading.Event()
    clock = SimpleNamespace(now_s=0.0)

    def prepare(self, spec, earlier):
        if spec.task_id.startswith("hung"):
            self.clock.now_s += 1.0
            self.over.wait(90)
        return (spec,)


@pytest.fixture
def hangs(monkeypatch):
    # By a clock that only what hangs moves: the machine may be slow with all the rest.
    clock = SimpleNamespace(now_s=0.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(preparing, "time", clock)
    monkeypatch.setattr(Hangs, "clock", clock)
    monkeypatch.setattr(preparing, "PREPARE_WITHIN_S", 0.2)
    monkeypatch.setattr(Hangs, "over", threading.Event())
    yield Hangs
    Hangs.over.set()


def parts_with(name, kind):
    host = fleet_host()
    host.register("task_kind", name, kind)
    return Parts(host, FleetSettings(), {})


async def prepared(parts, specs):
    return await Preparer(parts, lambda _: ()).prepared(specs, 1, b"abc")


async def test_tasks_that_are_split_can_not_be_without_end(monkeypatch):
    """A few thousand suites of a thousand shards each would fill the memory of a coordinator."""
    monkeypatch.setattr(preparing, "SPLIT_MAX", 10)
    suites = [spec(f"s{n}", kind="splits") for n in range(4)]
    plain = [spec(f"t{n}") for n in range(9)]
    found = await prepared(parts_with("splits", Splits), [*suites, *plain])
    refused = [each for each in found if each.refusal]
    assert [each.asked for each in refused] == ["s2", "s3"]
    assert "more than 10 tasks" in refused[0].refusal
    assert len(found) - len(refused) == 8 + 9


async def test_a_kind_that_splits_a_task_without_end_is_stopped_at_the_bound(monkeypatch):
    monkeypatch.setattr(preparing, "SPLIT_MAX", 10)

    class Endless(Plain):  # type: ignore[misc]
        def prepare(self, spec, earlier):
            while True:
                yield spec

    (refused,) = await prepared(parts_with("endless", Endless), [spec("t", kind="endless")])
    assert "more than 10 tasks" in refused.refusal


async def test_a_kind_that_hangs_costs_its_own_task_only_and_is_named(hangs):
    names = ["a", "hung-1", "b", "hung-2", "c"]
    found = await prepared(parts_with("hangs", hangs), [spec(n, kind="hangs") for n in names])
    assert [(each.asked, bool(each.refusal)) for each in found] == [
        ("a", False), ("hung-1", True), ("b", False), ("hung-2", True), ("c", False),
    ]  # fmt: skip
    assert found[1].refusal == (
        "Plugin task_kind 'hangs' took longer than 0.2 s to prepare a task. See what its prepare "
        "waits for; its author must bound that."
    )


async def test_a_kind_that_hangs_often_is_asked_no_more_until_it_comes_back(hangs, monkeypatch):
    monkeypatch.setattr(preparing, "HANGING_MAX", 2)
    preparer = Preparer(parts_with("hangs", hangs), lambda _: ())
    hung = [spec(f"hung-{n}", kind="hangs") for n in range(preparing.HANGING_MAX)]
    assert all(each.refusal for each in await preparer.prepared(hung, 1, b"abc"))
    fine, other = await preparer.prepared([spec("a", kind="hangs"), spec("b")], 1, b"abc")
    assert "has not come back from preparing 2 tasks" in fine.refusal
    assert not other.refusal
    hangs.over.set()
    async with asyncio.timeout(60):
        while fine.refusal:
            (fine,) = await preparer.prepared([spec("a", kind="hangs")], 1, b"abc")
            await asyncio.sleep(0.01)


async def test_kinds_that_hang_keep_no_thread_that_a_coordinator_needs(
    hangs, tmp_path, monkeypatch
):
    """Its ledger has a few threads, of all the process: were they taken, nothing would be saved."""
    monkeypatch.setattr(preparing, "PREPARE_WITHIN_S", 1_000.0)
    host = fleet_host()
    host.register("task_kind", "hangs", hangs)
    async with coordinator(tmp_path, host=host) as fleet:
        hung = [
            asyncio.create_task(fleet.submit([spec(f"hung-{n}", kind="hangs")])) for n in range(40)
        ]
        async with asyncio.timeout(60):
            await fleet.submit([spec("fine")])
            await fleet.ended(["fine"])
        assert not any(each.done() for each in hung)
        hangs.over.set()
        assert all(each.accepted for (each,) in await asyncio.gather(*hung))
