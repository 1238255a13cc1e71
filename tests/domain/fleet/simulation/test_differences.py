"""What two schedulers did otherwise is listed task by task, in words."""

from steelyard.domain.fleet.simulation.differences import differences
from steelyard.domain.fleet.simulation.play import Choice


def choice(name, worker, at_s=0.0):
    return Choice(at_s=at_s, task_id=name, worker_id=worker)


def test_nothing_differs_from_itself():
    log = [choice("a", "w"), choice("b", "v", 3.0)]
    assert differences(log, list(log)) == []


def test_another_worker_another_time_and_another_turn_are_told_apart():
    first = [choice("a", "w"), choice("b", "w"), choice("c", "w", 5.0), choice("d", "w", 6.0)]
    second = [choice("b", "w"), choice("a", "v"), choice("c", "w", 7.5), choice("e", "w", 8.0)]
    found = [each.sentence() for each in differences(first, second)]
    assert found == [
        "a: on v instead of w.",
        "b: 1 place earlier.",
        "c: 2.5 s later.",
        "d: only the first one served it, on w at 6.0 s.",
        "e: only the second one served it, on w at 8.0 s.",
    ]
