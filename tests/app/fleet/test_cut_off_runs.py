"""A run that a killed coordinator did not get to, or left half, is written by the next one."""

import shutil
import subprocess
import sys

import pytest
from fleet_host import coordinator, spec, until

from steelyard.app.fleet import cut_off_runs
from steelyard.app.fleet.cut_off_runs import is_cut_off, run_id_of
from steelyard.app.track.experiment import Experiment
from steelyard.app.track.queries import runs
from steelyard.runtime.track.layout import Store

BEGIN_AND_DIE = """
import os, sys
from steelyard.track import Experiment
run = Experiment("t", "fleet", directory=sys.argv[1], run_id=sys.argv[2]).start()
run.log_metric("fleet/attempts", 1)
os._exit(1)
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Store.of(tmp_path / "store")


async def with_ended(tmp_path, *names, **more):
    """Have tasks carried out under a coordinator of their own; return where their runs are."""
    async with coordinator(tmp_path, **more) as fleet:
        await fleet.submit([spec(name) for name in names])
        tasks = await fleet.ended(names)
    return {name: run_id_of(task.spec) for name, task in tasks.items()}


def cut_off(store, run_id):
    shutil.rmtree(store.place(run_id).path, ignore_errors=True)
    code = [sys.executable, "-c", BEGIN_AND_DIE, str(store.root), run_id]
    assert subprocess.run(code, check=False).returncode == 1


def statuses(store):
    return {run["run_id"]: run["status"] for run in runs(directory=str(store.root))}


async def test_the_next_coordinator_writes_what_a_killed_one_did_not(tmp_path, store):
    whole = await with_ended(tmp_path, "whole", track=str(store.root))
    half = await with_ended(tmp_path, "half")
    begun = await with_ended(tmp_path, "begun")
    never = await with_ended(tmp_path, "never")
    cut_off(store, half["half"])
    store.place(begun["begun"]).journal.mkdir(parents=True)
    assert statuses(store) == {whole["whole"]: "finished", half["half"]: "killed"}
    async with coordinator(tmp_path, track=str(store.root)) as fleet:

        async def written():
            return fleet._runs.counts["written"] == 3

        await until(written)
    ids = {**whole, **half, **begun, **never}
    assert statuses(store) == dict.fromkeys(ids.values(), "finished")
    found = {run["run_id"]: run["metrics"] for run in runs(directory=str(store.root))}
    assert found[half["half"]]["fleet/failed_tries"] == 0


async def test_a_run_whose_writer_lives_is_left_to_it(tmp_path, store):
    await with_ended(tmp_path, "whole", track=str(store.root))
    ids = await with_ended(tmp_path, "other")
    with Experiment("t", directory=store.root, run_id=ids["other"]) as other:
        assert not is_cut_off(store.place(other.run_id))
        await with_ended(tmp_path, "more", track=str(store.root))
        other.log_metric("m", 1.0)
    assert statuses(store)[ids["other"]] == "finished"
    assert other.snapshot().metrics["m"].last == 1.0


async def test_a_new_store_begins_with_what_ends_from_now_on(tmp_path, store):
    await with_ended(tmp_path, "before")
    ids = await with_ended(tmp_path, "after", track=str(store.root))
    assert list(statuses(store)) == [ids["after"]]


def test_a_silent_writer_of_another_host_is_given_time(tmp_path, store, monkeypatch):
    """Its lock may not show here; nothing was heard of it for long, and it is dead."""
    cut_off(store, "r")
    assert is_cut_off(store.place("r"))
    monkeypatch.setattr(cut_off_runs, "host_id", lambda: "another")
    assert not is_cut_off(store.place("r"))
    monkeypatch.setattr(cut_off_runs, "ELSEWHERE_S", -1.0)
    assert is_cut_off(store.place("r"))


def test_what_can_not_be_read_is_not_taken_for_cut_off(store):
    place = store.place("r")
    place.journal.mkdir(parents=True)
    (place.journal / "main.journal").write_bytes(b"of a later version" * 10)
    assert not is_cut_off(place)
