"""Who drives the mirrors of a run: processes of their own, or threads."""

import time

import pytest

from steelyard.app.track.backends import backend_specs
from steelyard.app.track.experiment import Experiment
from steelyard.app.track.mirroring import InProcess, InThread, Mirroring, settings_from
from steelyard.kernel.errors import SteelyardError


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
    assert time.monotonic() - begun < 2
    assert experiment.mirrors()["stuck"].closed is False
    assert "Mirror 'stuck' is not done" in caplog.text
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
    place = mirroring.finish(30)["jsonl"]
    assert (place.delivered, place.closed) == (100, True)
    assert driven.is_done()


def test_an_object_of_the_scripts_own_lives_in_a_thread():
    with Experiment("e") as experiment:
        mirroring = Mirroring(
            experiment.store, experiment._place, backend_specs(Stuck()), environ={}
        )
        assert isinstance(mirroring._driven[0], InThread)


def test_settings_that_we_did_not_write_are_refused():
    with pytest.raises(SteelyardError, match="can't be read"):
        settings_from({"STEELYARD_TRACK_MIRROR": "{"}, "m")
    assert settings_from({}, "m")[0].name == "m"
