"""Who leaves a worker idle on purpose says why, and until when; and then it is so."""

import pytest
from fleet_queue import CPU, GPU, QueueRig, spec

from steelyard.builtin.scheduler.custom import CustomScheduler
from steelyard.builtin.scheduler.deadline_driven import DeadlineScheduler
from steelyard.builtin.scheduler.energy_efficient import EnergyScheduler
from steelyard.builtin.scheduler.fair_share import FairnessScheduler
from steelyard.builtin.scheduler.hardware_match import HardwareScheduler
from steelyard.builtin.scheduler.load_balanced import LoadScheduler
from steelyard.builtin.scheduler.performance_based import PerformanceScheduler
from steelyard.domain.fleet.model import seconds
from steelyard.domain.fleet.requirements import Capabilities, Requirements
from steelyard.domain.fleet.why import why


def held(rig, name):
    """Return what the scheduler says of a task now."""
    return rig.desk.why_held(rig.fleet.book.tasks[name], rig.now_ns)


def wait(rig, after_s):
    rig.now_ns += seconds(after_s)
    return rig.tasks()


@pytest.mark.parametrize("scheduler", [HardwareScheduler, CustomScheduler])
def test_gpus_are_kept_from_plain_tasks_for_a_while(scheduler):
    rig = QueueRig(scheduler(spill_after_s=600), cpu=(CPU, 1), gpu=(GPU, 1))
    rig.submit(spec("first"), spec("plain"))
    assert rig.turn() == [("first", "cpu")]
    assert wait(rig, 90) == []
    assert held(rig, "plain") == (
        (
            "Worker gpu: its GPUs are kept for tasks that ask for one; cpu would do for this one; "
            "in 510 s it takes what is free."
        ),
    )
    assert why(rig.fleet.book, "plain", rig.now_ns, lambda _: held(rig, "plain"))[-1] == (
        "1 of 2 workers: all 1 slots are taken."
    )
    assert wait(rig, 511) == ["plain"]


def test_a_thrifty_worker_is_waited_for():
    thrifty = Capabilities(cpu_cores=8, memory_gb=16, power_w=50)
    unknown = Capabilities(cpu_cores=8, memory_gb=16)
    rig = QueueRig(EnergyScheduler(patience_s=60), thrifty=(thrifty, 1), a=(CPU, 1), b=(unknown, 1))
    rig.submit(spec("first"), spec("second"))
    assert rig.turn() == [("first", "thrifty")]
    assert held(rig, "second") == (
        (
            "Worker a: would need 2.0 times the energy of the thriftiest one, busy now or not; in"
            " 60 s it takes what is free."
        ),
        (
            "Worker b: what it draws is unknown, and others' is known, busy now or not; in 60 s it"
            " takes what is free."
        ),
    )
    assert wait(rig, 61) == ["second"]


def test_a_long_task_waits_until_a_worker_was_tried_with_a_short_one():
    rig = QueueRig(PerformanceScheduler(), a=(CPU, 1))
    rig.submit(spec("tiny", estimate_s=1), spec("long", estimate_s=1000, priority=1))
    rig.submit(*(spec(f"t{n}", estimate_s=1) for n in range(20)))
    assert rig.tasks() != ["long"]
    rig.end(next(n for n, t in rig.fleet.book.tasks.items() if t.token), 1.0)
    rig.submit(spec("other", kind="callable", estimate_s=5000))
    rig.desk.tell()
    (reason,) = held(rig, "other")
    assert reason == (
        "Worker a: has done none of its type yet, and is tried with a short task before a long;"
        " in 300 s it takes what is free."
    )


def test_a_slow_worker_is_left_alone_for_a_quick_one():
    slow = Capabilities(cpu_cores=8, memory_gb=16, speed=0.1)
    rig = QueueRig(PerformanceScheduler(), quick=(CPU, 1), slow=(slow, 1))
    rig.submit(spec("a", estimate_s=10))
    rig.submit(spec("b", estimate_s=10))
    rig.now_ns += seconds(301)  # no longer too young to be tried
    assert rig.turn() == [("a", "quick")]
    assert held(rig, "b") == (
        "Worker slow: should take 100 s; a quicker one ends it sooner, the wait included.",
    )


def test_a_deadline_that_only_a_quick_worker_makes():
    slow = Capabilities(cpu_cores=8, memory_gb=16, speed=0.1)
    for scheduler in (DeadlineScheduler(), CustomScheduler()):
        rig = QueueRig(scheduler, quick=(CPU, 1), slow=(slow, 1))
        rig.submit(spec("a", estimate_s=10, deadline_ns=rig.at(20)))
        rig.submit(spec("b", estimate_s=10, deadline_ns=rig.at(60)))
        assert rig.turn() == [("a", "quick")]
        assert held(rig, "b") == (
            (
                "Worker slow: should take 100 s, and its deadline is in 60 s, which a quicker"
                " worker can make."
            ),
        )


def test_a_quota_is_named():
    rig = QueueRig(
        FairnessScheduler(user_quotas={"ann": 1}, project_quotas={"p": 1}), a=(CPU, 4)
    )  # fmt: skip
    rig.submit(spec("one", user="ann"), spec("two", user="ann"))
    rig.submit(spec("three", user="bob", project="p"), spec("four", user="cid", project="p"))
    served = set(rig.tasks())
    assert len(served) == 2
    assert held(rig, ({"one", "two"} - served).pop()) == (
        "User ann is at the quota: 1 leases at once.",
    )
    assert held(rig, ({"three", "four"} - served).pop()) == (
        "Project p is at the quota: 1 leases at once.",
    )


def test_a_bound_on_tasks_of_a_worker_is_named():
    rig = QueueRig(LoadScheduler(max_tasks_per_worker=1), a=(CPU, 4))
    rig.submit(spec("one"), spec("two"))
    rig.turn()
    assert held(rig, "two") == (
        "Worker a: has the most tasks that max_tasks_per_worker allows, 1.",
    )


def test_a_worker_that_is_kept_for_a_large_task_is_named_with_it():
    rig = QueueRig(LoadScheduler(keep_after_s=60), a=(CPU, 4))
    half = Requirements(cpu_cores=4)
    rig.submit(spec("small", requirements=half))
    rig.turn()
    rig.submit(spec("large", requirements=Requirements(cpu_cores=8)))
    assert wait(rig, 61) == []
    rig.submit(spec("later", requirements=half))
    assert rig.tasks() == []
    assert held(rig, "later") == (
        "Worker a: kept for task large, which has waited long for room there.",
    )
    assert held(rig, "large") == ()


def test_the_question_changes_nothing():
    """Asked between any two passes, the same leases come of it."""
    found = []
    for asks in (False, True):
        rig = QueueRig(CustomScheduler(spill_after_s=20), cpu=(CPU, 2), gpu=(GPU, 2))
        rig.submit(*(spec(f"t{n}", priority=n % 3, user=f"u{n % 2}") for n in range(12)))
        leases = []
        for _ in range(8):
            if asks:
                for name in list(rig.fleet.book.ready):
                    held(rig, name)
            leases += (turn := rig.turn())
            for name, _ in turn[:1]:
                rig.end(name, 10.0)
        found.append(leases)
    assert found[0] == found[1]
    assert len(found[0]) > 8


def test_one_that_only_has_not_had_its_turn_is_held_by_nobody():
    rig = QueueRig(LoadScheduler(), a=(CPU, 1))
    rig.submit(spec("one"))
    rig.desk.tell()
    assert held(rig, "one") == ()
    assert rig.tasks() == ["one"]
    assert held(rig, "one") == ()
