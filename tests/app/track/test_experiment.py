"""An experiment from its first line to its last."""

import asyncio
import math
import os
import threading
import time
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.logging import get_active_experiment, start_logging, stop_logging
from steelyard.app.track.queries import points, show
from steelyard.domain.track.events import RunEnded
from steelyard.kernel.errors import JournalError, PluginError, UsageError
from steelyard.runtime.track.reader import facts_of


def test_two_lines_make_a_run(store_directory):
    experiment = start_logging("first", project="demo", tags={"team": "a", "n": 3})
    experiment.log_metric("loss", 0.5)
    stop_logging()
    run = experiment.snapshot()
    assert (run.name, run.project, run.status) == ("first", "demo", "finished")
    assert run.tags == {"team": "a", "n": "3"}
    assert experiment.directory == store_directory / "runs" / run.run_id
    assert get_active_experiment() is None


def test_the_environment_names_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELYARD_TRACK_DIR", str(tmp_path / "elsewhere"))
    with Experiment("e") as experiment:
        assert experiment.directory.is_relative_to(tmp_path / "elsewhere")


def test_step_zero_is_step_zero():
    with Experiment("e") as experiment:
        experiment.log_metric("stated", 1.0, 0)
        experiment.log_metric("named", 1.0, step=0)
        experiment.log_metric("counted", 1.0)
        experiment.log_metric("counted", 2.0)
        experiment.set_iteration(0)
        experiment.log_metric("set", 1.0)
        experiment.set_iteration(7)
        experiment.log_metric("set", 2.0)
        experiment.log_metrics({"both": 1, "set": 3}, step=9)
        assert experiment.iteration == 7
    steps = [(row["name"], row["step"]) for row in points("last")]
    assert sorted(steps) == sorted([
        ("stated", 0), ("named", 0), ("counted", 0), ("counted", 1), ("set", 0), ("set", 7),
        ("both", 9), ("set", 9),
    ])  # fmt: skip


def test_an_iteration_and_a_step_that_differ_are_refused():
    with Experiment("e") as experiment, pytest.raises(UsageError, match="two names of one thing"):
        experiment.log_metric("m", 1.0, 1, step=2)


def test_numbers_of_all_libraries_are_numbers_and_nan_is_kept():
    given = [np.float32(0.5), np.array([1.5]), Decimal("2.5"), True, 3, math.nan, math.inf]
    with Experiment("e") as experiment:
        for value in given:
            experiment.log_metric("m", value)
    rows = list(points("last", "m"))
    assert [row["value"] for row in rows[:5]] == [0.5, 1.5, 2.5, 1.0, 3.0]
    assert [row["non_finite"] for row in rows] == [*[""] * 5, "nan", "+inf"]


def test_what_is_no_metric_is_refused_and_the_run_goes_on():
    with Experiment("e") as experiment:
        for name, value in (("m", "text"), ("", 1.0), (3, 1.0), ("m", [1, 2])):
            with pytest.raises(UsageError):
                experiment.log_metric(name, value)
        experiment.log_metric("m", 1.0)
    assert experiment.snapshot().metrics["m"].count == 1


def test_parameters_come_nested_and_by_keyword():
    with Experiment("e", params={"model": {"layers": [1, 2]}}) as experiment:
        experiment.log_params({"opt": {"lr": 0.1}})
        experiment.log_params(seed=3, opt={"lr": 0.2})
        experiment.set_tags({"a": 1}, b="c")
        experiment.log_params({})
    run = experiment.snapshot()
    assert run.params == {"model.layers": [1, 2], "opt.lr": 0.2, "seed": 3}
    assert run.tags == {"a": "1", "b": "c"}


def test_a_block_that_raises_makes_a_failed_run_with_its_exception():
    with pytest.raises(ZeroDivisionError), Experiment("e") as experiment:
        1 / 0  # noqa: B018  it raises
    failure = experiment.snapshot().failure
    assert (experiment.snapshot().status, failure.type) == ("failed", "ZeroDivisionError")
    assert failure.message == "division by zero"
    assert "test_experiment.py" in failure.traceback


@pytest.mark.parametrize(("code", "status"), [(0, "finished"), (None, "finished"), (3, "failed")])
def test_sys_exit_is_a_failure_only_with_a_code(code, status):
    with pytest.raises(SystemExit), Experiment("e") as experiment:
        raise SystemExit(code)
    assert experiment.snapshot().status == status


def test_a_decorated_function_is_a_run_per_call():
    seen = []

    @Experiment("tune", project="p", tags={"k": "v"})
    def train(lr, *, steps):
        """Say what train says."""
        seen.append(get_active_experiment())
        seen[-1].log_metric("lr", lr)
        return steps

    assert [train(0.1, steps=1), train(0.2, steps=2)] == [1, 2]
    assert train.__doc__ == "Say what train says."
    assert seen[0].run_id != seen[1].run_id
    assert [run.snapshot().metrics["lr"].last for run in seen] == [0.1, 0.2]
    assert {run.snapshot().status for run in seen} == {"finished"}
    assert {run.snapshot().project for run in seen} == {"p"}


async def test_async_functions_and_blocks_are_runs_too():
    runs = []

    @Experiment("async")
    async def train(number):
        runs.append(get_active_experiment())
        await asyncio.sleep(0)
        get_active_experiment().log_metric("number", number)
        return number

    assert await asyncio.gather(*(train(number) for number in range(5))) == list(range(5))
    assert sorted(run.snapshot().metrics["number"].last for run in runs) == list(range(5))
    with pytest.raises(RuntimeError):
        async with Experiment("block") as experiment:
            raise RuntimeError("no")
    assert experiment.snapshot().status == "failed"


async def test_tasks_know_their_own_experiment():
    async def task(number):
        async with Experiment(f"t{number}") as own:
            await asyncio.sleep(0.01 * (3 - number))
            assert get_active_experiment() is own

    await asyncio.gather(*(task(number) for number in range(3)))
    assert get_active_experiment() is None


def test_several_run_at_once_and_the_one_before_is_active_again():
    outer = start_logging("outer")
    with Experiment("inner") as inner:
        assert get_active_experiment() is inner
        outer.log_metric("m", 1.0)
        inner.log_metric("m", 2.0)
    assert get_active_experiment() is outer
    stop_logging()
    assert (outer.snapshot().metrics["m"].last, inner.snapshot().metrics["m"].last) == (1.0, 2.0)


def test_a_thread_finds_the_experiment_of_its_process_and_threads_have_their_own():
    found = []
    outer = start_logging("outer")
    thread = threading.Thread(target=lambda: found.append(get_active_experiment()))
    thread.start()
    thread.join()
    assert found == [outer]

    def own(name):
        with Experiment(name) as experiment:
            time.sleep(0.02)
            found.append(get_active_experiment() is experiment)

    threads = [threading.Thread(target=own, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[1:] == [True] * 4


def test_a_forked_child_logs_into_the_run_and_does_not_end_it():
    experiment = start_logging("e")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            get_active_experiment().log_metric("child", 1.0, 5)
            stop_logging()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    experiment.log_metric("parent", 1.0)
    assert experiment.snapshot().status == "running"
    stop_logging()
    run = experiment.snapshot()
    assert (run.status, sorted(run.metrics)) == ("finished", ["child", "parent"])


def test_a_run_goes_on_under_its_id():
    with Experiment("e", run_id="mine") as first:
        first.log_metric("m", 1.0)
    with Experiment("e", run_id="mine") as second:
        assert second.snapshot().status == "running"
        second.log_metric("m", 2.0)
    run = second.snapshot()
    assert (run.status, run.metrics["m"].count, run.metrics["m"].last_step) == ("finished", 2, 1)


def test_a_run_that_runs_can_not_be_gone_on_with():
    with (
        Experiment("e", run_id="mine"),
        pytest.raises(JournalError, match="has a writer already"),
    ):
        Experiment("e", run_id="mine").start()


def test_logging_before_the_start_and_after_the_end_is_refused():
    experiment = Experiment("e")
    for _ in range(2):
        for log in (
            lambda: experiment.log_metric("m", 1.0),
            lambda: experiment.log_params(a=1),
            lambda: experiment.log_metrics({"m": 1}),
        ):
            with pytest.raises(UsageError, match="a call between start and stop"):
                log()
        if experiment.run_id:
            break
        experiment.start()
        experiment.stop()
        experiment.stop()
    with pytest.raises(UsageError, match="started before"):
        experiment.start()


def test_artifacts_come_back_byte_for_byte_by_version(tmp_path):
    model = tmp_path / "model.bin"
    with Experiment("e") as experiment:
        model.write_bytes(b"\x00\r\n1")
        experiment.log_artifact(model)
        model.write_bytes(b"\x00\r\n2")
        experiment.log_artifact(str(model), "model.bin")
        experiment.log_bytes(b"\x00\r\n1", "copy.bin")
        assert experiment.get_artifact("model.bin").read_bytes() == b"\x00\r\n2"
    model.unlink()
    assert experiment.get_artifact("model.bin", version=1).read_bytes() == b"\x00\r\n1"
    copied = experiment.get_artifact("copy.bin", tmp_path / "out" / "c.bin")
    assert copied.read_bytes() == b"\x00\r\n1"
    kept = experiment.list_artifacts()
    assert [(k.name, k.version) for k in kept] == [
        ("model.bin", 1), ("model.bin", 2), ("copy.bin", 1),
    ]  # fmt: skip
    assert kept[0].sha256 == kept[2].sha256
    assert len(list((experiment.store.blobs).glob("??/*"))) == 2


def test_a_directory_is_kept_file_by_file_without_following_links(tmp_path):
    folder = tmp_path / "out"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x.txt").write_text("x")
    (folder / "y.txt").write_text("y")
    (folder / "link").symlink_to("/etc/hostname")
    with Experiment("e") as experiment:
        experiment.log_artifact(folder, "results")
    names = [kept.name for kept in experiment.list_artifacts()]
    assert names == ["results/a/x.txt", "results/y.txt"]


def test_an_artifact_that_is_not_there_is_refused_with_those_that_are():
    with Experiment("e") as experiment:
        with pytest.raises(UsageError, match="Can't read"):
            experiment.log_artifact("none.bin")
        with pytest.raises(UsageError, match="The name of an artifact"):
            experiment.log_bytes(b"", "../x")
        experiment.log_bytes(b"x", "m.bin")
        with pytest.raises(UsageError, match="expected one of m.bin"):
            experiment.get_artifact("n.bin")
        with pytest.raises(UsageError, match="of version 2"):
            experiment.get_artifact("m.bin", version=2)
        kept = experiment.get_artifact("m.bin")
        kept.chmod(0o644)
        kept.write_bytes(b"y")
        with pytest.raises(UsageError, match="its content has changed"):
            experiment.get_artifact("m.bin")


def test_an_unknown_backend_is_told_before_the_run_begins(store_directory):
    with pytest.raises(PluginError, match="Did you mean 'jsonl'"):
        start_logging("e", backend="jsonnl")
    assert not list((store_directory / "runs").glob("*")) if store_directory.exists() else True
    assert get_active_experiment() is None


def test_parameters_without_names_are_told_before_the_run_begins(store_directory):
    with pytest.raises(UsageError, match="Parameters have names"):
        start_logging("e", params=[3])
    assert get_active_experiment() is None
    assert not store_directory.exists()


def test_local_is_the_journal_itself():
    with Experiment("e", backend="local") as experiment:
        experiment.log_metric("m", 1.0)
    assert experiment.mirrors() == {}
    assert show("last")["metrics"]["m"]["last"] == 1.0


def test_a_named_backend_gets_all_with_exact_counts(tmp_path):
    backend = {"jsonl": {"directory": str(tmp_path / "mirror")}}
    with Experiment("e", backend=backend) as experiment:
        for step in range(1_000):
            experiment.log_metric("m", step, step)
        experiment.log_params(a=1)
    place = experiment.mirrors()["jsonl"]
    assert (place.delivered, place.retried, place.dropped, place.closed) == (1_001, 0, 0, True)
    lines = (tmp_path / "mirror" / experiment.run_id / "events.jsonl").read_text().splitlines()
    assert len(lines) == 1_003


def test_a_run_ends_in_one_of_two_ways():
    with Experiment("e") as experiment:
        with pytest.raises(UsageError, match="finished or failed"):
            experiment.stop("killed")
        experiment.stop("failed")
    assert experiment.snapshot().status == "failed"


def test_a_run_ends_once_whoever_stops_it():
    experiment = Experiment("e").start()
    threads = [threading.Thread(target=experiment.stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = [fact for fact, _ in facts_of(experiment._place) if isinstance(fact, RunEnded)]
    assert len(ends) == 1


def test_what_is_to_be_closed_may_log_until_it_is():
    experiment = Experiment("e").start()
    experiment.on_stop(lambda: experiment.log_metrics({"first": 1}, source="collector:a"))
    experiment.on_stop(lambda: experiment.log_metrics({"second": 1}))
    experiment.stop()
    assert list(experiment.snapshot().metrics) == ["second", "first"]
    sources = [fact.source for fact, _ in facts_of(experiment._place) if hasattr(fact, "step")]
    assert sources == ["script", "collector:a"]


@pytest.mark.parametrize("arguments", [{"name": ""}, {"name": "e", "project": ""},
                                       {"name": "e", "run_id": "../x"}])  # fmt: skip
def test_names_that_can_not_be_used_are_refused(arguments):
    with pytest.raises(UsageError):
        Experiment(**arguments)


def test_it_says_what_it_is():
    experiment = Experiment("e", "p")
    assert repr(experiment) == "<Experiment 'e' of 'p', not started, not running>"


def test_a_start_that_fails_leaves_no_run_that_goes_on(monkeypatch):
    """A `with` block is not begun then, so nobody else would end it."""

    def fail(*_, **__):
        raise PluginError("no room for collectors")

    monkeypatch.setattr("steelyard.app.track.experiment.attach", fail)
    experiment = Experiment("e")
    with pytest.raises(PluginError, match="no room"):
        experiment.start()
    assert not experiment.is_running
    assert get_active_experiment() is None
    run = experiment.snapshot()
    assert (run.status, "no room" in run.failure.message) == ("failed", True)


def test_a_closer_that_raises_keeps_no_other_from_its_turn():
    closed, mirrors = [], []

    def fail():
        raise RuntimeError("not mine")

    experiment = Experiment("e").start()
    experiment._mirroring = SimpleNamespace(finish=mirrors.append)
    for closer in (lambda: closed.append("first"), fail, lambda: closed.append("last")):
        experiment.on_stop(closer)
    with pytest.raises(RuntimeError, match="not mine"):
        experiment.stop(flush_timeout_s=1.0)
    assert (closed, mirrors) == (["last", "first"], [1.0])
    assert experiment.snapshot().status == "finished"
