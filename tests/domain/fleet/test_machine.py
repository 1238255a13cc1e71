"""The fleet's machine, event by event."""

import pytest

from steelyard.domain.fleet import events as ev
from steelyard.domain.fleet.hooks import HOOK_ARGUMENTS, FleetHook
from steelyard.domain.fleet.machine import Fleet
from steelyard.domain.fleet.model import Backoff, Ending, Outcome, Proposal, TaskSpec, seconds
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
from steelyard.domain.fleet.why import why

T0 = seconds(1_000.0)
DONE = Outcome(ending=Ending.SUCCEEDED, result=1)
FAILED = Outcome(ending=Ending.FAILED, error="exit code 1")


class Rig:
    """A machine, a clock, and what it fired."""

    def __init__(self):
        self.fleet = Fleet()
        self.now_ns = T0
        self.fired = []

    def tell(self, event, after_s=0.0):
        self.now_ns += seconds(after_s)
        actions = self.fleet.handle(event, self.now_ns)
        self.fired += [a for a in actions if isinstance(a, ev.Fire)]
        return actions

    def task(self, name="t"):
        return self.fleet.book.tasks[name]

    def hooks(self):
        return [str(fire.hook) for fire in self.fired]

    def lease(self, name="t", worker="w"):
        return self.tell(ev.Proposed((Proposal(task_id=name, worker_id=worker),)))


def spec(name="t", **more):
    return TaskSpec(task_id=name, kind="command", **more)


@pytest.fixture
def rig():
    rig = Rig()
    rig.tell(ev.WorkerRegistered("w", Capabilities(cpu_cores=4, memory_gb=8), 2))
    return rig


def refusals(actions):
    return [action.reason for action in actions if isinstance(action, ev.Refused)]


def test_a_task_goes_its_way(rig):
    rig.tell(ev.Submitted((spec(),)))
    actions = rig.lease()
    assert isinstance(actions[0], ev.SaveTask)
    (dispatch,) = [a for a in actions if isinstance(a, ev.Dispatch)]
    assert (dispatch.lease.attempt, dispatch.lease.token) == (1, 1)
    rig.tell(ev.AttemptStarted("t", 1))
    rig.tell(ev.AttemptEnded("t", 1, DONE))
    assert rig.task().state == "completed"
    assert rig.hooks() == [
        "worker_registered", "task_created", "task_assigned", "task_started", "task_completed",
    ]  # fmt: skip


def test_hooks_are_told_the_arguments_that_are_documented(rig):
    """All fifteen but those of the coordinator itself, which its driver fires."""
    rig.tell(ev.Submitted((spec(), spec("u", losses_max=0), spec("v"))))
    for name in ("t", "u"):
        rig.lease(name)
        rig.tell(ev.AttemptStarted(name, rig.task(name).token))
    rig.tell(ev.AttemptEnded("t", rig.task("t").token, DONE))
    rig.tell(ev.WorkerDied("w", "SIGKILL"))
    rig.tell(ev.WorkerHeard("w"))
    rig.tell(ev.WorkerLeft("w"))
    rig.tell(ev.WorkerRegistered("x", Capabilities(), 1))
    rig.lease("v", "x")
    rig.tell(ev.WorkerDied("x", "SIGKILL"))
    rig.tell(ev.CancelAsked("v"))
    for fire in rig.fired:
        assert tuple(fire.arguments) == HOOK_ARGUMENTS[fire.hook]
    driver = {FleetHook.COORDINATOR_STARTUP, FleetHook.COORDINATOR_SHUTDOWN}
    assert {fire.hook for fire in rig.fired} == set(FleetHook) - driver


def test_a_result_under_an_old_token_is_refused(rig):
    rig.tell(ev.Submitted((spec(),)))
    rig.lease()
    rig.tell(ev.WorkerDied("w", "SIGKILL"))
    rig.tell(ev.WorkerRegistered("x", Capabilities(), 1), after_s=30)
    rig.lease(worker="x")
    assert rig.task().token == 2
    assert refusals(rig.tell(ev.AttemptEnded("t", 1, DONE))) == ["that lease does not hold"]
    assert rig.task().state == "leased"


def test_a_failure_is_tried_again_as_often_as_asked_with_growing_waits(rig):
    rig.tell(ev.Submitted((spec(retries=2, backoff=Backoff(first_s=10, jitter=0)),)))
    for wait_s in (10, 20):
        rig.lease()
        rig.tell(ev.AttemptEnded("t", rig.task().token, FAILED))
        assert rig.task().state == "pending"
        assert rig.task().not_before_ns == rig.now_ns + seconds(wait_s)
        assert refusals(rig.lease()) == ["the task is not ready"]
        rig.tell(ev.WorkerHeard("w"), after_s=wait_s)
    rig.lease()
    rig.tell(ev.AttemptEnded("t", rig.task().token, FAILED))
    assert rig.task().state == "failed"
    assert len(rig.task().failures) == 3


def test_what_kills_one_worker_after_another_is_quarantined(rig):
    rig.tell(ev.Submitted((spec(losses_max=99, backoff=Backoff(first_s=0)),)))
    for name in ("a", "b", "c"):
        rig.tell(ev.WorkerRegistered(name, Capabilities(), 1))
        rig.lease(worker=name)
        rig.tell(ev.WorkerDied(name, "SIGKILL"), after_s=1)
    assert rig.task().state == "dead-letter"
    assert rig.task().reason == "poison: workers a, b, c died under it"
    assert rig.hooks()[-2:] == ["task_failed", "recovery_failed"]


def test_a_death_is_one_failure_of_a_worker_however_much_it_held(rig):
    rig.tell(ev.WorkerRegistered("big", Capabilities(cpu_cores=64), 16))
    rig.tell(ev.Submitted(tuple(spec(f"t{n}") for n in range(16))))
    for n in range(16):
        rig.lease(f"t{n}", "big")
    rig.tell(ev.WorkerRegistered("big", Capabilities(cpu_cores=64), 16))
    assert rig.fleet.book.breaker("big").failures == 1
    assert rig.fleet.book.breaker("big").allows(rig.now_ns)


def test_a_worker_that_keeps_losing_is_tried_with_one_task_until_that_one_has_begun(rig):
    rig.tell(ev.WorkerRegistered("big", Capabilities(), 4))
    rig.tell(ev.Submitted(tuple(spec(f"t{n}", losses_max=9) for n in range(7))))
    for n in range(3):
        rig.lease(f"t{n}", "big")
        token = rig.task(f"t{n}").token
        rig.tell(ev.AttemptEnded(f"t{n}", token, Outcome(ending=Ending.LOST, error="gone")))
    held = "held back after it lost 3 attempts in a row"
    assert refusals(rig.lease("t3", "big")) == ["worker big is held back after failures"]
    rig.fleet.book.workers["w"].draining = True
    reasons = why(rig.fleet.book, "t3", rig.now_ns)
    assert f"1 of 2 workers: {held}; it is tried again in 10 s." in reasons
    rig.tell(ev.WorkerHeard("big"), after_s=10)
    rig.lease("t3", "big")
    assert refusals(rig.lease("t4", "big"))
    reasons = why(rig.fleet.book, "t4", rig.now_ns)
    assert f"1 of 2 workers: {held}; one task is trying it." in reasons
    actions = rig.tell(ev.AttemptStarted("t3", rig.task("t3").token))
    assert ev.Reschedule() in actions
    assert not refusals(rig.lease("t4", "big"))
    lost = Outcome(ending=Ending.LOST, error="gone")
    rig.tell(ev.AttemptEnded("t3", rig.task("t3").token, lost))
    assert refusals(rig.lease("t5", "big"))  # and it is held back for longer


def test_a_silent_worker_gets_nothing_and_then_loses_what_it_has(rig):
    rig.tell(ev.Submitted((spec(), spec("u"))))
    rig.lease()
    rig.tell(ev.Ticked(), after_s=7)
    assert rig.hooks()[-1] == "worker_disconnected"
    assert refusals(rig.lease("u")) == ["worker w takes nothing"]
    assert rig.task().state == "leased"
    rig.tell(ev.Ticked(), after_s=14)
    assert rig.hooks()[-2:] == ["worker_failed", "recovery_started"]
    assert rig.task().state == "pending"


def test_an_attempt_that_outlives_its_time_is_revoked_and_its_slot_freed_later(rig):
    rig.tell(ev.Submitted((spec(timeout_s=5),)))
    rig.lease()
    rig.tell(ev.AttemptStarted("t", 1))
    for _ in range(4):
        actions = rig.tell(ev.WorkerHeard("w", (1,)), after_s=4)
    assert next(a.reason for a in actions if isinstance(a, ev.Revoke)).startswith("ran longer")
    assert rig.task().state == "failed"
    assert rig.fleet.book.workers["w"].free_slots == 1
    rig.tell(ev.AttemptEnded("t", 1, Outcome(ending=Ending.CANCELLED)))
    assert rig.fleet.book.workers["w"].free_slots == 2


def test_dependents_wait_and_are_cancelled_with_what_they_wait_for(rig):
    rig.tell(ev.Submitted((spec("c", depends_on=("b",)), spec("b", depends_on=("a",)), spec("a"))))
    assert list(rig.fleet.book.ready) == ["a"]
    assert why(rig.fleet.book, "c", rig.now_ns) == ("It waits for b (pending).",)
    rig.lease("a")
    rig.tell(ev.AttemptEnded("a", 1, FAILED))
    assert [rig.task(name).state for name in "abc"] == ["failed", "cancelled", "cancelled"]
    assert rig.task("c").reason == "dependency b did not complete: cancelled"


def test_ten_thousand_dependents_in_a_row_are_no_trouble(rig):
    names = [f"t{n}" for n in range(10_000)]
    chain = [spec(n, depends_on=(names[i - 1],) if i else ()) for i, n in enumerate(names)]
    rig.tell(ev.Submitted(tuple(chain)))
    rig.tell(ev.CancelAsked("t0"))
    assert rig.task(names[-1]).state == "cancelled"


def test_what_cannot_be_submitted_is_refused_and_the_rest_is_not(rig):
    specs = (
        spec("a"), spec("b", depends_on=("nobody",)),
        spec("k", user="u", idempotency_key="x"), spec("l", user="u", idempotency_key="x"),
    )  # fmt: skip
    found = refusals(rig.tell(ev.Submitted(specs)))
    assert "it depends on nobody, which nobody submitted" in found
    assert "it is task k, by its idempotency key" in found
    assert set(rig.fleet.book.tasks) == {"a", "k"}
    circle = (spec("x", depends_on=("y",)), spec("y", depends_on=("x",)))
    assert "in a circle" in refusals(rig.tell(ev.Submitted(circle)))[0]


def test_an_endpoint_that_cannot_be_reached_holds_its_tasks_back(rig):
    names = [f"t{n}" for n in range(5)]
    rig.tell(ev.Submitted(tuple(spec(name, endpoint="http://a") for name in names)))
    gone = Outcome(ending=Ending.UNREACHABLE, error="connection refused")
    for name in names[:3]:
        rig.lease(name)
        rig.tell(ev.AttemptEnded(name, rig.task(name).token, gone))
    assert not rig.fleet.book.ready
    assert why(rig.fleet.book, "t3", rig.now_ns) == (
        "http://a could not be reached 3 times in a row; it is tried again in 10 s.",
    )
    rig.tell(ev.WorkerHeard("w"), after_s=5)
    rig.tell(ev.WorkerHeard("w"), after_s=5.5)
    assert set(rig.fleet.book.ready) == {"t3", "t4"}
    rig.lease("t3")
    assert not rig.fleet.book.ready
    rig.tell(ev.AttemptEnded("t3", rig.task("t3").token, DONE))
    assert set(rig.fleet.book.ready) == {"t4"}


def test_a_lease_is_given_where_the_task_fits_and_there_is_room(rig):
    needs = Requirements(cpu_cores=3)
    rig.tell(ev.Submitted((spec(requirements=needs), spec("u", requirements=needs))))
    rig.lease()
    assert refusals(rig.lease("u")) == ["worker w has no room for it"]
    gpu = Requirements(gpus=1, gpu_model="*H200*", gpu_memory_gb=100)
    rig.tell(ev.Submitted((spec("g", requirements=gpu),)))
    lacking = "needs 1 GPU *H200* with 100 GB, has 0 such"
    assert refusals(rig.lease("g")) == [f"worker w: {lacking}"]
    assert why(rig.fleet.book, "g", rig.now_ns) == (
        "No worker has what it needs; it waits for one that does.",
        f"1 of 1 workers: {lacking}.",
    )
    card = Gpu(model="NVIDIA H200", memory_gb=141)
    rig.tell(ev.WorkerRegistered("h", Capabilities(gpus=(card,)), 1))
    assert not refusals(rig.lease("g", "h"))


def test_a_cancelled_task_keeps_its_slot_until_its_attempt_has_ended(rig):
    rig.tell(ev.Submitted((spec(),)))
    rig.lease()
    actions = rig.tell(ev.CancelAsked("t"))
    assert [type(a) for a in actions if isinstance(a, ev.Revoke)] == [ev.Revoke]
    assert rig.fleet.book.workers["w"].free_slots == 1
    rig.tell(ev.WorkerHeard("w"), after_s=2)
    assert rig.fleet.book.workers["w"].free_slots == 2
    assert refusals(rig.tell(ev.CancelAsked("t"))) == ["it is cancelled"]


@pytest.mark.parametrize("name", ["", "a\nb", "a\0", "a\ud800"])
def test_an_id_that_nobody_can_read_is_refused(rig, name):
    assert refusals(rig.tell(ev.Submitted((spec(name), spec("fine"))))) == [
        "its id is empty, or holds what can't be printed"
    ]
    assert set(rig.fleet.book.tasks) == {"fine"}


def test_a_wait_by_a_clock_that_was_ahead_gets_no_longer(rig):
    """The next coordinator's clock is a quarter of an hour behind, and right."""
    backoff = Backoff(first_s=3.0, max_s=5.0)
    rig.tell(ev.Submitted((spec(retries=1, backoff=backoff), spec("ready"))))
    rig.lease()
    rig.tell(ev.AttemptEnded("t", rig.task().token, FAILED))
    tasks, later_ns = list(rig.fleet.book.tasks.values()), rig.now_ns - seconds(900.0)
    other = Fleet()
    actions = other.restore(tasks, (), rig.fleet.book.next_token, later_ns)
    assert rig.task().not_before_ns == later_ns + seconds(5.0)
    assert ev.WakeAt(later_ns + seconds(5.0)) in actions
    assert list(other.book.ready) == ["ready"]
    assert rig.task("ready").ready_ns == later_ns, "what is patient with it begins anew"


def test_a_task_that_may_run_for_ever_is_no_end_of_the_fleet(rig):
    rig.tell(ev.Submitted((spec(timeout_s=float("inf")),)))
    rig.lease()
    rig.tell(ev.AttemptStarted("t", rig.task().token))
    assert rig.task().state == "running"


def test_of_a_long_error_the_beginning_is_kept(rig):
    rig.tell(ev.Submitted((spec(retries=1),)))
    rig.lease()
    long = Outcome(ending=Ending.FAILED, error="why " * 1_000_000)
    rig.tell(ev.AttemptEnded("t", rig.task().token, long))
    (kept,) = rig.task().failures
    assert kept.startswith("attempt 1: why why")
    assert max(len(kept), len(rig.task().outcome.error), len(rig.task().reason)) < 5_000


def test_a_circle_keeps_only_those_back_that_hang_on_it(rig):
    circle = (spec("a", depends_on=("b",)), spec("b", depends_on=("a",)))
    others = (spec("hangs", depends_on=("a",)), spec("free"), spec("next", depends_on=("free",)))
    actions = rig.tell(ev.Submitted((*circle, *others)))
    assert list(rig.fleet.book.tasks) == ["free", "next"]
    assert [a.task_id for a in actions if isinstance(a, ev.Refused)] == ["a", "b", "hangs"]


@pytest.mark.parametrize(
    "needs", [{"gpus": -1}, {"cpu_cores": -8.0}, {"memory_gb": float("nan")}, {"disk_gb": 1e400}]
)
def test_no_task_requires_less_than_nothing_or_what_is_no_amount(rig, needs):
    """Its worker would have had more room than it has, and been given too much."""
    (reason,) = refusals(rig.tell(ev.Submitted((spec(requirements=Requirements(**needs)),))))
    assert reason.endswith(f"of {next(iter(needs))}")
    assert not rig.fleet.book.tasks
