"""Who drives the mirrors of a run: processes of their own, or threads."""

import gc
import sys
import time

import psutil
import pytest

from steelyard.app.track.backends import backend_specs
from steelyard.app.track.experiment import Experiment
from steelyard.app.track.mirroring import InProcess, InThread, Mirroring, settings_from
from steelyard.domain.track.routing import Rule
from steelyard.domain.track.thinning import Sampling
from steelyard.kernel.errors import FileError, SteelyardError
from steelyard.runtime.track import mirror
from steelyard.runtime.track.mirror import read_mirror


class Stuck:
    name = "stuck"

    def open(self, run):
        return "x"

    def log(self, items):
        time.sleep(3600)

    def flush(self):
        """Never reached."""

    def close(self, end):
        """Never reached."""


def test_a_hanging_backend_holds_up_the_end_for_no_longer_than_asked(caplog):
    experiment = Experiment("e", backend=Stuck()).start()
    experiment.log_metric("m", 1.0)
    begun = time.monotonic()
    experiment.stop(flush_timeout_s=0.3)
    assert time.monotonic() - begun < 60
    assert experiment.mirrors()["stuck"].closed is False
    assert "Mirror 'stuck' is not done" in caplog.text
    assert f"steelyard track sync {experiment.run_id}" in caplog.text
    assert experiment.snapshot().status == "finished"


@pytest.mark.slow
def test_a_named_backend_lives_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("STEELYARD_TRACK_MIRRORS")
    specs = backend_specs({"jsonl": {"directory": str(tmp_path / "out")}})
    with Experiment("e") as experiment:
        mirroring = Mirroring(experiment.store, experiment._place, specs, environ={})
        (driven,) = mirroring._driven
        assert isinstance(driven, InProcess)
        for step in range(100):
            experiment.log_metric("m", 1.0, step)
    place = mirroring.finish(90)["jsonl"]
    assert (place.delivered, place.closed) == (100, True)
    assert driven.is_done()


@pytest.mark.slow
def test_a_process_that_is_left_at_work_is_no_warning_and_no_zombie_stays(tmp_path, monkeypatch):
    """As one that a slow machine is not done with when the run has ended."""
    specs = backend_specs({"jsonl": {"directory": str(tmp_path / "out")}})
    said = []
    with Experiment("e") as experiment:
        mirroring = Mirroring(experiment.store, experiment._place, specs, environ={})
        left = psutil.Process(mirroring._driven[0]._sidecar._process.pid)
    assert not mirroring.finish(0)["jsonl"].closed
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    del mirroring
    gc.collect()
    assert said == []
    while left.status() != psutil.STATUS_ZOMBIE:  # it ends by itself; the test's timeout bounds it
        time.sleep(0.05)
    assert read_mirror(experiment._place, "jsonl").place.closed
    with Experiment("next") as experiment:
        mirroring = Mirroring(experiment.store, experiment._place, specs, environ={})
    mirroring.finish(90)
    assert not left.is_running()


def test_an_object_of_the_scripts_own_lives_in_a_thread():
    with Experiment("e") as experiment:
        mirroring = Mirroring(
            experiment.store, experiment._place, backend_specs(Stuck()), environ={}
        )
        assert isinstance(mirroring._driven[0], InThread)


def test_settings_that_we_did_not_write_are_refused():
    for text in ("", "{", '{"specs": []}'):
        with pytest.raises(SteelyardError, match="can't be read"):
            settings_from(text)


CRASHING = """
import os, signal


class Crashing:
    plugin = {"kind": "backend", "name": "crashing"}

    def open(self, run):
        os.kill(os.getpid(), signal.SIGSEGV)

    def log(self, items):
        return None

    def flush(self):
        return None

    def close(self, end):
        return None
"""


@pytest.mark.slow
def test_mirrors_beside_the_script_end_one_by_one_and_a_crash_is_one_mirrors_own(
    tmp_path, monkeypatch
):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "crashing.py").write_text(CRASHING)
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(tmp_path / "plugins"))
    specs = backend_specs(
        {"jsonl": {"directory": str(tmp_path / "out"), "sample": {"every": 4}}, "crashing": {}}
    )
    rules = [Rule(to=(), name="away")]
    with Experiment("e") as experiment:
        mirroring = Mirroring(experiment.store, experiment._place, specs, rules, environ={})
        for step in range(100):
            experiment.log_metrics({"m": 1.0, "away": 2.0}, step)
        good, crashed = mirroring._driven
        deadline = time.monotonic() + 60
        while not crashed.is_done() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (crashed.is_done(), good.is_done()) == (True, False)
    place = mirroring.finish(90)["jsonl"]
    assert (place.delivered, place.sampled, place.skipped, place.closed) == (25, 75, 100, True)
    log = experiment.directory / "mirrors" / "crashing.log"
    assert "killed by SIGSEGV" in log.read_text()
    # What a mirror is told is kept, so that a later sync decides alike.
    kept = read_mirror(experiment._place, "jsonl")
    assert (kept.sampling, list(kept.rules)) == (Sampling(every=4), rules)


def test_a_mirror_that_another_process_drives_is_told_at_the_end_and_not_by_a_traceback(caplog):
    experiment = Experiment("e").start()
    experiment.stop()
    place = experiment.store.place(experiment.run_id)
    with mirror._lock(place, "stuck"):
        mirroring = Mirroring(experiment.store, place, backend_specs(Stuck()), environ={})
        found = mirroring.finish(30)
    assert "by another process" in found["stuck"].last_error
    assert "Mirror 'stuck' is not done: The run is being mirrored" in caplog.text


def test_a_log_of_mirrors_that_can_not_be_written_is_named(tmp_path):
    experiment = Experiment("e").start()
    experiment.stop()
    place = experiment.store.place(experiment.run_id)
    (place.path / "mirrors").write_text("a file is in its way")
    specs = backend_specs({"jsonl": {"directory": str(tmp_path / "out")}})
    with pytest.raises(FileError, match=r"Can't write .*mirrors\.log"):
        Mirroring(experiment.store, place, specs, environ={})
