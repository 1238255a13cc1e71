"""The queue hands out the right task first, whatever came and went before."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.domain.fleet.model import Task, TaskSpec, Worker
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
from steelyard.domain.fleet.scheduling.queue import Queue

PLAIN = Worker(worker_id="p", capabilities=Capabilities(cpu_cores=4, memory_gb=8))
GPU = Worker(
    worker_id="g", capabilities=Capabilities(cpu_cores=8, memory_gb=8, gpus=(Gpu(model="a"),))
)
NEEDS = (
    Requirements(), Requirements(cpu_cores=6), Requirements(gpus=1), Requirements(worker="p"),
    Requirements(memory_gb=99),
)  # fmt: skip


def task(name, needs):
    return Task(spec=TaskSpec(task_id=name, kind="command", requirements=NEEDS[needs]))


def fits(needs, worker):
    has = worker.capabilities
    return (
        needs.cpu_cores <= has.cpu_cores and needs.gpus <= len(has.gpus)
        and needs.memory_gb <= has.memory_gb and needs.worker in {"", worker.worker_id}
    )  # fmt: skip


class Naive:
    """A list that is searched from end to end."""

    def __init__(self):
        self.entries = {}
        self.number = 0

    def put(self, name, needs, party, order):
        self.number += 1
        self.entries[name] = (order, self.number, party, needs)

    def drop(self, name):
        self.entries.pop(name, None)

    def first(self, party, worker):
        found = [
            (order, number, name)
            for name, (order, number, whose, needs) in self.entries.items()
            if whose == party and fits(NEEDS[needs], worker)
        ]
        return min(found)[2] if found else None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "drop", "pass"]),
        st.integers(0, 12), st.integers(0, 4), st.integers(0, 2), st.integers(0, 3),
    ),
    max_size=80,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_first_task_is_the_one_that_a_plain_search_finds(steps):
    queue, naive = Queue(), Naive()
    for action, number, needs, party, order in steps:
        name = f"t{number}"
        if action == "put":
            queue.put(task(name, needs), party, (order,))
            naive.put(name, needs, party, (order,))
        elif action == "drop":
            queue.drop(name)
            naive.drop(name)
        else:
            check_pass(queue, naive)
    check_pass(queue, naive)
    assert len(queue) == len(naive.entries)


def check_pass(queue, naive):
    """Take all that each worker could have, in turn; then all of it waits again."""
    for worker in (PLAIN, GPU):
        bit = queue.profiles.bit(worker)
        queue.fit()
        for party in list(queue.parties.values()):
            left = dict(naive.entries)
            while (first := queue.first(party, bit, frozenset({worker.worker_id}))) is not None:
                name = first.task.spec.task_id
                assert name == naive.first(party.key, worker)
                queue.take(first)
                naive.drop(name)
            assert naive.first(party.key, worker) is None
            naive.entries = left
        queue.restore()


def test_a_lane_that_is_left_alone_hides_nobody_else():
    queue = Queue()
    queue.put(task("large", 1), "", (0,))
    queue.put(task("small", 0), "", (1,))
    bit = queue.profiles.bit(GPU)
    queue.fit()
    party = queue.parties[""]
    first = queue.first(party, bit, frozenset())
    queue.stash(first.lane)
    assert queue.first(party, bit, frozenset()).task.spec.task_id == "small"
    queue.restore()
    assert queue.first(party, bit, frozenset()).task.spec.task_id == "large"


def test_nothing_is_left_behind_by_ten_thousand_that_came_and_went():
    queue = Queue()
    queue.put(task("stays", 0), "u", (5,))
    for number in range(10_000):
        queue.put(task(f"t{number}", number % 5), "u", (number % 7,))
        queue.drop(f"t{number}")
    lanes = [lane for party in queue.parties.values() for lane in party.lanes.values()]
    groups = [group for party in queue.parties.values() for group in party.groups.values()]
    assert len(lanes) == len(groups) == 1
    assert len(lanes[0].heap) < 100
    assert len(groups[0].heads) < 100
