"""A plugin that places one task at a time can't do harm to a queue."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from steelyard.domain.fleet.events import Submitted, WorkerRegistered
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import TaskSpec
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
from steelyard.domain.fleet.scheduling.desk import Desk
from steelyard.kernel.errors import PluginError
from steelyard.runtime.fleet import task_by_task
from steelyard.runtime.fleet.task_by_task import TaskByTaskScheduler

CPU = Capabilities(cpu_cores=4, memory_gb=8)
GPU = Capabilities(cpu_cores=4, memory_gb=8, gpus=(Gpu(model="a", memory_gb=16),))


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """What does not hang comes back in time on any machine."""
    monkeypatch.setattr(task_by_task, "ASK_WITHIN_S", 60.0)
    monkeypatch.setattr(task_by_task, "PASS_TIMEOUT_S", 90.0)


class Placer:
    """Asks `choose`."""

    name = "placer"

    def __init__(self, choose, **config):
        self.choose, self.config = choose, config
        self.asked, self.heard = [], []

    def schedule_task(self, task_id, task_data, available_workers, worker_load):
        self.asked.append(task_id)
        return self.choose(task_data, available_workers, worker_load)

    def update_task_status(self, task_id, status, data):
        self.heard.append((task_id, status, data["worker_id"]))

    def get_metrics(self):
        return {"mine": 1}


class AsyncPlacer(Placer):
    async def schedule_task(self, task_id, task_data, available_workers, worker_load):
        await asyncio.sleep(0)
        return super().schedule_task(task_id, task_data, available_workers, worker_load)


def stage(placer, specs, workers=(("cpu", CPU), ("gpu", GPU)), slots=3):
    fleet = Fleet()
    for name, capabilities in workers:
        fleet.handle(WorkerRegistered(name, capabilities, slots), 1)
    fleet.handle(Submitted(tuple(specs)), 1)
    scheduler = TaskByTaskScheduler(placer)
    return scheduler, Desk(fleet, scheduler), fleet


def plain(count, **more):
    return [TaskSpec(task_id=f"t{n}", kind="command", **more) for n in range(count)]


def first(task_data, available_workers, worker_load):
    return min(available_workers)


@pytest.mark.parametrize("kind", [Placer, AsyncPlacer])
def test_only_workers_that_fit_and_have_room_are_offered(kind):
    seen = []

    def choose(task_data, available_workers, worker_load):
        seen.append((task_data["task_id"], dict(worker_load)))
        assert available_workers["gpu"]["cpu_cores"] == 4
        return "gpu"

    needy = [
        TaskSpec(task_id=f"g{n}", kind="command", requirements=Requirements(gpus=1))
        for n in range(3)
    ]
    scheduler, desk, _ = stage(kind(choose), [*needy, *plain(1)])
    _, decided = desk.turn(2)
    assert [(d.proposal.task_id, d.proposal.worker_id) for d in decided] == [
        ("g0", "gpu"), ("t0", "gpu"),
    ]  # fmt: skip
    assert seen == [("g0", {"gpu": 0}), ("t0", {"cpu": 0, "gpu": 1})]
    scheduler.close()


def test_more_tasks_than_the_option_says_are_not_offered():
    scheduler, desk, _ = stage(Placer(first, max_tasks_per_worker=1), plain(5))
    _, decided = desk.turn(2)
    assert [d.proposal.worker_id for d in decided] == ["cpu", "gpu"]
    assert scheduler.metrics()["queued"] == 3


@pytest.mark.parametrize("answer", ["nobody", 7, ["cpu"]])
def test_an_answer_that_was_not_offered_is_counted_and_no_lease(answer):
    scheduler, desk, _ = stage(Placer(lambda *_: answer), plain(2))
    assert desk.turn(2)[1] == []
    metrics = scheduler.metrics()
    assert metrics["refused_answers"] == 2
    assert "was not offered" in metrics["last_error"]


def test_a_plugin_that_raises_leaves_its_task_waiting_and_harms_no_other():
    def choose(task_data, available_workers, worker_load):
        if task_data["task_id"] == "t0":
            raise KeyError("priority")
        return min(available_workers)

    scheduler, desk, _ = stage(Placer(choose), plain(3))
    assert [d.proposal.task_id for d in desk.turn(2)[1]] == ["t1", "t2"]
    metrics = scheduler.metrics()
    assert metrics["failures"] == 1
    assert "place t0: KeyError" in metrics["last_error"]
    assert metrics["mine"] == 1


def test_a_pass_is_bounded_and_the_next_goes_on_behind_it(monkeypatch):
    monkeypatch.setattr(task_by_task, "ASKED_MAX", 2)
    placer = Placer(lambda *_: None)
    _, desk, _ = stage(placer, plain(5))
    for _ in range(3):
        desk.turn(2)
    assert placer.asked == ["t0", "t1", "t2", "t3", "t4", "t0"]


def test_a_coroutine_that_does_not_end_is_cancelled_and_its_task_waits(monkeypatch):
    monkeypatch.setattr(task_by_task, "ASK_WITHIN_S", 0.1)
    ended = []

    class Hangs(AsyncPlacer):
        async def schedule_task(self, task_id, task_data, available_workers, worker_load):
            if task_id == "t0" and not ended:
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.append(task_id)
            return await super().schedule_task(task_id, task_data, available_workers, worker_load)

    scheduler, desk, _ = stage(Hangs(first), plain(2))
    begun = time.monotonic()
    while not ended and time.monotonic() - begun < 30:  # a pass may be over before it asks at all
        assert desk.turn(2)[1] == []
    assert ended == ["t0"]
    assert time.monotonic() - begun < 30
    monkeypatch.setattr(task_by_task, "ASK_WITHIN_S", 60.0)
    # The next pass goes on behind it.
    assert [d.proposal.task_id for d in desk.turn(2)[1]] == ["t1", "t0"]
    assert "place t0: TimeoutError" in scheduler.metrics()["last_error"]
    scheduler.close()


def test_a_coroutine_that_holds_up_its_loop_is_named_and_waited_for_no_more(monkeypatch):
    monkeypatch.setattr(task_by_task, "PASS_TIMEOUT_S", 0.1)
    let_go = threading.Event()

    class Blocks(Placer):
        async def schedule_task(self, task_id, task_data, available_workers, worker_load):
            let_go.wait(90)
            return "cpu"

    scheduler, desk, _ = stage(Blocks(first), plain(1))
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(PluginError, match="holds up its loop for more than 0.1 s"):
            desk.turn(2)
    assert time.monotonic() - begun < 60
    let_go.set()
    scheduler.close()


def test_a_slow_plugin_is_asked_about_fewer_tasks_in_a_pass(monkeypatch):
    monkeypatch.setattr(task_by_task, "ASK_WITHIN_S", 0.05)
    clock = SimpleNamespace(now_s=0.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(task_by_task, "time", clock)

    def slow(task_data, available_workers, worker_load):
        clock.now_s += 0.04

    placer = Placer(slow)
    _, desk, _ = stage(placer, plain(6))
    for passes in (1, 2, 3):
        desk.turn(2)
        assert placer.asked == [f"t{n}" for n in range(2 * passes)]
