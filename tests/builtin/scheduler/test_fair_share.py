"""Fair shares: by usage, weight and quota, with few in a row, over a window."""

import inspect

import pytest
from fleet_queue import CPU, QueueRig, spec

from steelyard.builtin.scheduler.fair_share import FairnessScheduler
from steelyard.domain.fleet.model import Ending
from steelyard.kernel.errors import ConfigError


def rig(slots=1, **options):
    return QueueRig(FairnessScheduler(**options), w=(CPU, slots))


def users(names):
    return [name[0] for name in names]


def queue_of(**counts):
    """Return tasks a0, a1, ... of user a, then those of b, and so on."""
    return [spec(f"{user}{n}", user=user) for user, count in counts.items() for n in range(count)]


def test_the_options_have_their_documented_defaults():
    options = inspect.signature(FairnessScheduler).parameters
    documented = {
        "max_tasks_per_worker": 5, "history_window_size": 100, "detailed_logging": False,
        "fairness_window_hours": 24, "enable_quotas": True, "recalculate_interval": 60,
        "max_consecutive_same_user": 3, "enable_priority_boost": True,
    }  # fmt: skip
    assert {name: options[name].default for name in documented} == documented


def test_who_came_late_with_little_waits_for_no_long_queue():
    fair = rig()
    fair.submit(*queue_of(a=50, b=3))
    assert users(fair.serve(6)) == ["a", "b", "a", "b", "a", "b"]


def test_a_weight_of_two_is_due_twice_as_much():
    fair = rig(user_weights={"a": 2}, max_consecutive_same_user=0)
    fair.submit(*queue_of(a=50, b=50))
    served = users(fair.serve(30))
    assert (served.count("a"), served.count("b")) == (20, 10)


def test_usage_is_time_and_not_a_count_of_tasks():
    fair = rig(max_consecutive_same_user=0)
    fair.submit(*(spec(f"a{n}", user="a", kind="long", estimate_s=40) for n in range(20)))
    fair.submit(*(spec(f"b{n}", user="b", kind="short", estimate_s=10) for n in range(40)))
    served = []
    for _ in range(25):
        for name in fair.tasks():
            served.append(name)
            fair.end(name, 40 if name[0] == "a" else 10)
    assert users(served).count("b") == 4 * users(served).count("a")


def test_projects_count_like_users():
    fair = rig(max_consecutive_same_user=0)
    fair.submit(*(spec(f"a{n}", user="a", project="large") for n in range(20)))
    fair.submit(*(spec(f"b{n}", user="b", project="large") for n in range(20)))
    fair.submit(*(spec(f"c{n}", user="c", project="small") for n in range(20)))
    served = users(fair.serve(30))
    assert served.count("c") > max(served.count("a"), served.count("b"))


def test_after_so_many_in_a_row_others_go_first_and_only_if_there_are_any():
    fair = rig(user_weights={"a": 1000}, max_consecutive_same_user=3)
    fair.submit(*queue_of(a=10, b=2))
    assert "".join(users(fair.serve(12))) == "abaaabaaaaaa"
    free = rig(user_weights={"a": 1000}, max_consecutive_same_user=0)
    free.submit(*queue_of(a=10, b=2))
    assert "".join(users(free.serve(12))) == "abaaaaaaaaab"


def test_nobody_runs_more_at_once_than_the_quota_says():
    fair = rig(slots=5, user_quotas={"a": 2})
    fair.submit(*queue_of(a=6))
    assert fair.tasks() == ["a0", "a1"]
    assert fair.tasks() == []
    fair.end("a0", 5)
    assert fair.tasks() == ["a2"]
    assert fair.scheduler.metrics()["over_quota"] > 0


def test_a_quota_of_slot_hours_is_given_back_as_the_window_slides():
    fair = rig(project_quotas={"*": {"hours": 1}}, fairness_window_hours=24)
    fair.submit(*(spec(f"a{n}", user="a", project="p") for n in range(3)))
    assert fair.tasks() == ["a0"]
    fair.end("a0", 3700)
    assert fair.tasks() == []
    fair.now_ns += int(25 * 3600e9)
    assert fair.tasks() == ["a1"]


def test_quotas_can_be_switched_off():
    fair = rig(slots=5, user_quotas={"a": 2}, enable_quotas=False)
    fair.submit(*queue_of(a=6))
    assert len(fair.tasks()) == 5


def test_what_was_used_before_the_window_is_forgotten():
    fair = rig(fairness_window_hours=1, max_consecutive_same_user=0)
    fair.submit(*queue_of(a=10))
    fair.serve(5, each_s=600)
    fair.now_ns += int(2 * 3600e9)
    fair.submit(*queue_of(b=10))
    assert users(fair.serve(8)).count("a") >= 3


def test_priority_goes_first_within_a_user_and_lifts_a_user_at_most_to_twice_its_share():
    boosted = rig(max_consecutive_same_user=0)
    boosted.submit(spec("a-low", user="a"), spec("a-high", user="a", priority=9))
    assert boosted.tasks() == ["a-high"]
    boosted = rig(max_consecutive_same_user=0)
    boosted.submit(*(spec(f"a{n}", user="a", priority=99) for n in range(40)), *queue_of(b=40))
    served = users(boosted.serve(30))
    assert (served.count("a"), served.count("b")) == (20, 10)
    plain = rig(max_consecutive_same_user=0, enable_priority_boost=False)
    plain.submit(*(spec(f"a{n}", user="a", priority=99) for n in range(40)), *queue_of(b=40))
    served = users(plain.serve(30))
    assert (served.count("a"), served.count("b")) == (15, 15)


def test_what_failed_or_was_lost_was_used_all_the_same():
    fair = rig(max_consecutive_same_user=0)
    fair.submit(*queue_of(a=2), *queue_of(b=2))
    (first,) = fair.tasks()
    fair.end(first, 100, Ending.FAILED)
    assert fair.scheduler.users.used_s(first[0]) == pytest.approx(100)


def test_the_score_is_jains_index_of_usage_by_weight():
    fair = rig(slots=3, user_weights={"b": 2})
    fair.submit(*queue_of(a=2, b=1))
    fair.turn()
    for name in ("a0", "a1", "b0"):
        fair.end(name, 0 if name != "a0" else 60)
    fairness = fair.scheduler.metrics()["fairness"]
    # a: 2 slots for 60 s at weight 1, b: 60 s at weight 2: (120 + 30)^2 / (2 * (120^2 + 30^2))
    assert fairness["fairness_score"] == pytest.approx(150**2 / (2 * (120**2 + 30**2)))
    assert fairness["user_shares"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert (fairness["active_users"], fairness["active_projects"]) == (2, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"user_weights": {"a": 0}},
        {"user_quotas": {"a": "two"}},
        {"project_quotas": {"a": {"x": 1}}},
    ],
)
def test_a_wrong_weight_or_quota_is_named(options):
    with pytest.raises(ConfigError, match="of a can't be used"):
        FairnessScheduler(**options)


def test_a_new_scheduler_counts_the_leases_that_it_finds():
    fair = rig(slots=4, user_quotas={"a": 2})
    fair.submit(*queue_of(a=6))
    assert len(fair.tasks()) == 2
    fair.desk.use(FairnessScheduler(user_quotas={"a": 2}))
    assert fair.tasks() == []
