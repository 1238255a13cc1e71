"""The scheduler `custom`: ageing, deadlines with admission, history, specialties and hardware."""

import inspect

from fleet_queue import CPU, GPU, QueueRig, spec

from steelyard.builtin.scheduler.custom import CustomScheduler
from steelyard.domain.fleet.requirements import Requirements


def rig(*, slots=1, workers=None, **options):
    return QueueRig(CustomScheduler(**options), **(workers or {"w": (CPU, slots)}))


def test_the_common_options_have_their_documented_defaults():
    options = inspect.signature(CustomScheduler).parameters
    documented = {"max_tasks_per_worker": 5, "history_window_size": 100, "detailed_logging": False}
    assert {name: options[name].default for name in documented} == documented


def test_a_task_that_waits_gains_a_point_of_priority_each_so_often():
    custom = rig(ageing_s=60)
    custom.submit(spec("old"))
    custom.now_ns = custom.at(150)
    custom.submit(spec("two", priority=2), spec("three", priority=3))
    assert custom.serve(3) == ["three", "old", "two"]


def test_a_near_deadline_goes_before_a_high_priority_and_a_far_one_does_not():
    custom = rig()
    custom.submit(
        spec("urgent", priority=5),
        spec("near", deadline_ns=custom.at(100), estimate_s=60),
        spec("far", deadline_ns=custom.at(90_000), estimate_s=60),
    )
    assert custom.serve(3) == ["near", "urgent", "far"]


def test_a_deadline_that_cannot_be_met_is_not_admitted_before_the_others():
    custom = rig()
    custom.submit(
        spec("lost", priority=9, deadline_ns=custom.at(30), estimate_s=60),
        spec("plain"),
        spec("makes it", deadline_ns=custom.at(100), estimate_s=60),
    )
    assert custom.serve(3) == ["makes it", "plain", "lost"]
    assert custom.scheduler.metrics()["not_admitted"] == 1


def test_what_earlier_attempts_took_decides_whether_a_deadline_can_be_met():
    custom = rig()
    custom.submit(spec("teach", kind="slow", estimate_s=10))
    custom.tasks()
    custom.end("teach", 100)  # ten times the estimate
    custom.submit(
        spec("plain"), spec("lost", kind="slow", estimate_s=10, deadline_ns=custom.at(50))
    )
    assert custom.serve(2) == ["plain", "lost"]


def test_a_worker_that_was_quick_with_a_type_gets_it():
    custom = rig(workers={"quick": (CPU, 1), "slow": (CPU, 1)})
    custom.submit(spec("one", estimate_s=10), spec("two", estimate_s=10))
    given = dict(custom.turn())
    on = {worker: name for name, worker in given.items()}
    custom.end(on["quick"], 5)
    custom.end(on["slow"], 45)
    custom.submit(spec("next", estimate_s=10))
    assert custom.turn() == [("next", "quick")]


def test_workers_keep_to_the_types_that_they_did_lately():
    custom = rig(workers={"a": (CPU, 1), "b": (CPU, 1)})
    custom.submit(spec("red0", kind="red"))
    ((_, first),) = custom.turn()
    custom.end("red0", 10)
    other = {"a": "b", "b": "a"}[first]
    custom.submit(spec("red1", kind="red"), spec("blue0", kind="blue"))
    assert custom.turn() == [("red1", first), ("blue0", other)]
    assert custom.scheduler.metrics()["specialties"] == {first: "red"}


def test_a_plain_task_leaves_gpus_alone_for_a_while_when_another_worker_would_do():
    custom = rig(workers={"gpu": (GPU, 1), "cpu": (CPU, 1)}, spill_after_s=60)
    custom.submit(spec("one"), spec("two"))
    assert custom.turn() == [("one", "cpu")]
    custom.now_ns = custom.at(61)
    assert custom.turn() == [("two", "gpu")]


def test_a_task_for_a_gpu_finds_it_free():
    custom = rig(workers={"gpu": (GPU, 1), "cpu": (CPU, 1)})
    custom.submit(spec("one"), spec("two"), spec("train", requirements=Requirements(gpus=1)))
    assert set(custom.turn()) == {("one", "cpu"), ("train", "gpu")}


def test_it_can_be_set_to_parts_of_itself_while_tasks_wait():
    custom = rig()
    custom.submit(
        spec("dear", priority=9), spec("near", deadline_ns=custom.at(3_000), estimate_s=2_000)
    )
    assert custom.scheduler.use_strategy("deadline_driven")
    assert custom.serve(1) == ["dear"]
    custom = rig()
    custom.submit(spec("near", deadline_ns=custom.at(80), estimate_s=60), spec("dear", priority=9))
    assert custom.scheduler.use_strategy("priority_based")
    assert custom.serve(2) == ["dear", "near"]
    assert not custom.scheduler.use_strategy("fair_share")
    assert custom.scheduler.metrics()["active_strategy"] == "priority_based"


def test_reasons_say_when_it_was_to_start_and_why():
    custom = rig()
    custom.submit(spec("t", priority=4, deadline_ns=custom.at(100), estimate_s=50))
    custom.turn()
    first, second, _ = custom.decided[0].proposal.reasons
    assert first == (
        "It was to start 40 s from now (its priority is 4, its deadline is in 100 s); "
        "no task that fits was to start earlier."
    )
    assert second.startswith("Worker w scored best")
