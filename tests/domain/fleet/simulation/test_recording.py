"""What a ledger remembers can be played again, under any scheduler."""

from steelyard.builtin.scheduler.round_robin import RoundRobinScheduler
from steelyard.domain.fleet.model import Attempt, Ending, Outcome, Task, TaskSpec, Worker, seconds
from steelyard.domain.fleet.requirements import Capabilities
from steelyard.domain.fleet.simulation.play import play
from steelyard.domain.fleet.simulation.recording import recorded

T0 = seconds(1_000.0)
FAST = Worker(worker_id="fast", capabilities=Capabilities(cpu_cores=4, speed=2.0), slots=2)


def task(name, at_s, **more):
    spec = TaskSpec(task_id=name, kind="command", submitted_ns=T0 + seconds(at_s), **more)
    return Task(spec=spec)


def attempt(name, took_s, ending=Ending.SUCCEEDED):
    return Attempt(
        task_id=name, attempt=1, token=1, worker_id="fast", leased_ns=T0, started_ns=T0,
        ended_ns=T0 + seconds(took_s), outcome=Outcome(ending=ending, seconds=took_s),
    )  # fmt: skip


def test_work_is_what_an_attempt_took_times_the_speed_it_took_it_at():
    tasks = [task("a", 0), task("b", 5, estimate_s=9.0), task("c", 6), task("d", 7, estimate_s=4.0)]
    attempts = [attempt("a", 10.0), attempt("d", 3.0, Ending.FAILED)]
    recording = recorded(tasks, [FAST], attempts)
    assert [(job.spec.task_id, job.after_s, job.work_s) for job in recording.jobs] == [
        ("a", 0.0, 20.0), ("b", 5.0, 9.0), ("c", 6.0, 60.0), ("d", 7.0, 4.0),
    ]  # fmt: skip


def test_dependencies_and_deadlines_are_played_too():
    tasks = [
        task("first", 0, estimate_s=8.0),
        task("second", 0, estimate_s=2.0, depends_on=("first", "forgotten"),
             deadline_ns=T0 + seconds(60.0)),
    ]  # fmt: skip
    recording = recorded(tasks, [FAST])
    assert recording.jobs[1].spec.depends_on == ("first",)
    assert recording.jobs[1].spec.deadline_ns == seconds(60.0)
    run = play(recording, RoundRobinScheduler())
    assert [(p.spec.task_id, p.started_s, p.ended_s) for p in run.played] == [
        ("first", 0.0, 4.0), ("second", 4.0, 5.0),
    ]  # fmt: skip


def test_what_fits_nobody_is_told_as_unserved():
    from steelyard.domain.fleet.requirements import Requirements

    lonely = task("lonely", 0, requirements=Requirements(gpus=1))
    run = play(recorded([lonely], [FAST]), RoundRobinScheduler())
    assert run.unserved == ("lonely",)
