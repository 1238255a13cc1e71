"""Every task that ends is a run of the tracker, once."""

import asyncio
import subprocess
import sys

import pytest
from fleet_host import Plain, coordinator, fleet_host, spec, until
from fleet_rig import InstantEngine

from steelyard.app.track.queries import runs
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.fleet import Coordinator, FleetSettings
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.reader import read_run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


async def ended(fleet, name):
    return (await fleet.task(name)).state in ("completed", "failed", "cancelled", "dead-letter")


async def runs_now(fleet, name):
    return (await fleet.task(name)).state == "running"


def behave(lease, task):
    if task.task_id == "bad":
        return Outcome(ending=Ending.FAILED, error="out of memory", exit_code=3)
    return Outcome(ending=Ending.SUCCEEDED, result={"accuracy": 0.75, "ok": True}, seconds=1.5)


async def test_a_task_is_a_run_with_what_it_was_told_and_what_came_of_it(tmp_path):
    store = str(tmp_path / "store")
    async with coordinator(tmp_path, InstantEngine(behave=behave), track=store) as fleet:
        payload = {"argv": ["test"], "env": {"API_TOKEN": "hunter2hunter2"}}
        await fleet.submit([
            spec("good", name="accuracy", project="models", payload=payload, user="u"),
            spec("bad", name="accuracy", project="models"),
        ])  # fmt: skip
        await until(lambda: ended(fleet, "good"))
        await until(lambda: ended(fleet, "bad"))
    found = {run.tags["fleet.task"]: run for run in map(show_of(store), runs(directory=store))}
    good, bad = found["good"], found["bad"]
    assert (good.name, good.project, good.status) == ("accuracy", "models", "finished")
    assert good.tags["fleet.worker"].startswith("w")
    assert good.metrics["result/accuracy"].last == 0.75
    assert good.metrics["fleet/attempts"].last == 1
    assert good.metrics["fleet/seconds"].last == 1.5
    assert good.params["payload.argv"]
    assert "hunter2" not in str(good)
    assert [kept.name for kept in good.artifacts] == ["result.json"]
    assert bad.status == "failed"
    assert "failed: out of memory" in bad.failure.message


def show_of(store):
    return lambda run: read_run(Store.of(store).place(run["run_id"]))


async def test_a_run_is_there_once_and_only_where_it_is_asked_for(tmp_path):
    store = tmp_path / "store"
    async with coordinator(tmp_path, track=str(store)) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: ended(fleet, "a"))
        await fleet.hooks_settled()
        await fleet._runs.hear("task_completed", ("a", None))
    assert len(runs(directory=str(store))) == 1
    async with coordinator(tmp_path) as fleet:
        await fleet.submit([spec("b")])
        await until(lambda: ended(fleet, "b"))
    assert len(runs(directory=str(store))) == 1


async def test_a_store_that_cannot_be_written_holds_nothing_up(tmp_path, caplog):
    (tmp_path / "store").write_text("a file")
    async with coordinator(tmp_path, track=str(tmp_path / "store")) as fleet:
        await fleet.submit([spec("a")])
        await until(lambda: ended(fleet, "a"))
    assert "Task a has no run" in caplog.text


async def test_outputs_of_real_attempts_are_artifacts(tmp_path):
    settings = FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"), directory=str(tmp_path / "files"),
        engines={"local": {"detect": False}}, track=str(tmp_path / "store"),
    )  # fmt: skip
    async with Coordinator(settings) as fleet:
        payload = {"shell": "echo out; echo err >&2; exit 3"}
        await fleet.submit([TaskSpec(task_id="t", kind="command", payload=payload)])
        await fleet.ended(["t"])
    (run,) = list(runs(directory=str(tmp_path / "store")))
    kept = show_of(str(tmp_path / "store"))(run)
    assert {a.name for a in kept.artifacts} == {
        "attempt-1/stdout.log", "attempt-1/stderr.log", "result.json",
    }  # fmt: skip
    assert kept.metrics["fleet/exit_code"].last == 3


async def test_a_run_began_and_ended_when_its_task_did(tmp_path):
    store = str(tmp_path / "store")
    settings = FleetSettings(
        ledger=str(tmp_path / "ledger.sqlite"), directory=str(tmp_path / "fleet"),
        engines={"local": {"detect": False}}, track=store,
    )  # fmt: skip
    async with Coordinator(settings) as fleet:
        waits = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
        await fleet.submit([TaskSpec(task_id="t", kind="command", payload={"shell": waits})])
        await until(lambda: runs_now(fleet, "t"))
        await asyncio.sleep(0.4)  # its start was heard of before, its end comes after
        (tmp_path / "go").touch()
        await until(lambda: ended(fleet, "t"))
        (attempt,) = await fleet.attempts("t")
    (run,) = map(show_of(store), runs(directory=store))
    assert (run.started_ns, run.ended_ns) == (attempt.started_ns, attempt.ended_ns)
    assert (run.ended_ns - run.started_ns) / 1e9 >= 0.3


def test_nothing_of_the_tracker_is_loaded_for_tasks_that_are_not_tracked():
    code = (
        "import sys\nfrom steelyard.fleet import Coordinator, FleetSettings\n"
        "print(sorted(name for name in sys.modules if '.app.track' in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ODD = "a\nb\x00"


@pytest.mark.parametrize(
    "asked",
    [
        {"name": ODD}, {"project": ODD}, {"user": ODD}, {"labels": {ODD: ODD, "x" * 700: "y"}},
        {"payload": {"argv": ["true"], ODD: 1}},
    ],
    ids=["name", "project", "user", "labels", "payload"],
)  # fmt: skip
async def test_no_word_of_a_task_keeps_it_from_its_run(tmp_path, asked):
    """Nor does one of its result: both are others' words, and a tracker's names are narrower."""
    store = str(tmp_path / "store")
    result = {ODD: 1, "x" * 700: 2, "": 3, "ok": 4}
    engine = InstantEngine(
        behave=lambda lease, task: Outcome(ending=Ending.SUCCEEDED, result=result)
    )
    async with coordinator(tmp_path, engine, track=store) as fleet:
        await fleet.submit([spec("odd", **asked)])
        await until(lambda: ended(fleet, "odd"))
    (run,) = [run for run in map(show_of(store), runs(directory=store))
              if run.tags.get("fleet.task") == "odd"]  # fmt: skip
    assert run.metrics["result/ok"].last == 4
    assert [kept.name for kept in run.artifacts] == ["result.json"]


async def test_a_task_whose_word_is_no_summary_keeps_no_other_from_its_run(tmp_path, caplog):
    """A benchmark's result is what its worker says; nobody checks that before."""
    store = str(tmp_path / "store")
    results = {"odd": {"metrics": {"ttft": {"avg": "soon"}}, "causes": 7}, "good": {"a": 1}}
    engine = InstantEngine(behave=lambda _, task: Outcome(
        ending=Ending.SUCCEEDED, result=results[task.task_id]))  # fmt: skip
    host = fleet_host(engine)
    host.register("task_kind", "benchmark", Plain)
    async with coordinator(tmp_path, host=host, track=store) as fleet:
        await fleet.submit([spec("odd", kind="benchmark")])
        await until(lambda: ended(fleet, "odd"))
        await fleet.submit([spec("good")])
        await until(lambda: ended(fleet, "good"))
    found = {run.tags.get("fleet.task") for run in map(show_of(store), runs(directory=store))}
    assert "good" in found
    assert "Task odd has no run" in caplog.text
