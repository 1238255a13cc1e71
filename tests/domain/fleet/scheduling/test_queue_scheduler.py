"""What all schedulers of the queue share: room for large tasks, changes told, reasons kept."""

from fleet_queue import CPU, QueueRig, spec

from steelyard.domain.fleet.events import CancelAsked
from steelyard.domain.fleet.model import Ending
from steelyard.domain.fleet.requirements import Requirements
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler

LARGE = Requirements(cpu_cores=8)
SMALL = Requirements(cpu_cores=2)


def rig(scheduler=None, slots=4, **workers):
    return QueueRig(scheduler or QueueScheduler(), **(workers or {"w": (CPU, slots)}))


def test_a_large_task_gets_a_worker_kept_for_it_once_it_has_waited():
    """Small ones that come all the time would pass it for ever."""
    queue = rig()
    queue.submit(*(spec(f"s{n}", requirements=SMALL) for n in range(4)))
    assert len(queue.tasks()) == 4
    queue.submit(spec("large", requirements=LARGE))
    queue.submit(*(spec(f"late{n}", requirements=SMALL) for n in range(20)))
    queue.end("s0", 100)
    assert queue.tasks() == ["late0"]
    queue.end("s1", 250)
    assert queue.tasks() == []
    assert queue.scheduler.metrics()["kept_workers"] == {"large": "w"}
    for name in ("s2", "s3", "late0"):
        queue.end(name, 10)
    assert queue.tasks() == ["large"]
    assert queue.scheduler.metrics()["kept_workers"] == {}


def test_one_worker_is_kept_and_not_the_whole_fleet():
    queue = rig(a=(CPU, 4), b=(CPU, 4))
    queue.submit(*(spec(f"s{n}", requirements=SMALL) for n in range(8)))
    held = dict(queue.turn())
    queue.submit(spec("large", requirements=LARGE))
    queue.submit(*(spec(f"late{n}", requirements=SMALL) for n in range(20)))
    on = {worker: [n for n, w in held.items() if w == worker] for worker in "ab"}
    queue.end(on["a"][0], 400)
    assert queue.tasks() == []
    queue.end(on["b"][0], 1)
    assert queue.turn() == [("late0", "b")]


def test_a_worker_is_kept_no_longer_when_its_task_is_cancelled():
    queue = rig()
    queue.submit(*(spec(f"s{n}", requirements=SMALL) for n in range(4)))
    queue.turn()
    queue.submit(spec("large", requirements=LARGE), spec("small", requirements=SMALL))
    queue.end("s0", 400)
    assert queue.tasks() == []
    queue.desk.watch(queue.fleet.handle(CancelAsked("large"), queue.now_ns))
    assert queue.tasks() == ["small"]


def test_a_preferred_worker_is_taken_when_it_is_free_and_no_condition():
    queue = rig(a=(CPU, 1), b=(CPU, 1))
    likes_b = Requirements(prefers={"rack": "2"})
    for worker in queue.fleet.book.workers.values():
        worker.capabilities = type(CPU)(
            cpu_cores=8, labels={"rack": "12"["ab".index(worker.worker_id)]}
        )
    queue.submit(spec("one", requirements=likes_b), spec("two", requirements=likes_b))
    assert queue.turn() == [("one", "b"), ("two", "a")]


def test_a_lost_attempt_is_queued_again_and_teaches_no_duration():
    queue = rig()
    queue.submit(spec("t", retries=1))
    queue.turn()
    queue.end("t", 50, Ending.FAILED)
    assert len(queue.scheduler.history) == 0
    assert queue.tasks() == []  # it waits before it is tried again
    queue.now_ns = queue.at(100)
    queue.desk.watch(queue.fleet.handle(CancelAsked("nobody"), queue.now_ns))
    assert queue.tasks() == ["t"]


def test_max_tasks_per_worker_bounds_slots():
    queue = rig(QueueScheduler(max_tasks_per_worker=2), slots=4)
    queue.submit(*(spec(f"t{n}") for n in range(4)))
    assert queue.tasks() == ["t0", "t1"]
    assert queue.tasks() == []
    assert queue.desk.is_holding_back


def test_what_is_decided_has_the_wait_among_its_reasons():
    queue = rig()
    queue.submit(spec("t"))
    queue.now_ns = queue.at(7)
    queue.turn()
    (decided,) = queue.decided
    assert decided.refused == ""
    assert decided.proposal.reasons == (
        "It was the next in the queue.", "It had been ready for 7.0 s.",
    )  # fmt: skip
