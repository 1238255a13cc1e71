"""The dialect's names are the core's, and its backends mirror real runs."""

import importlib
from pathlib import Path

import pytest

import steelyard.track
from steelyard.dialects import tracelet
from steelyard.kernel.errors import ConfigError

EXAMPLES = Path(__file__).parent / "examples"
CONFIG = {"server_url": "http://127.0.0.1:1", "project_id": "p", "api_token": "t"}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    """Track below `tmp_path`, with the page's backend in a plugin directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("STEELYARD_TRACK_MIRRORS", "thread")
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(EXAMPLES / "my_package"))


@pytest.fixture
def experiments(monkeypatch):
    """The experiments that the page's SDK was asked for."""
    sdk = importlib.import_module("custom_sdk")
    made = []
    original = sdk.Experiment.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        made.append(self)

    monkeypatch.setattr(sdk.Experiment, "__init__", remember)
    return made


@pytest.mark.parametrize("name", tracelet.__all__)
def test_the_names_are_the_cores(name):
    assert getattr(tracelet, name) is getattr(steelyard.track, name)


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'begin'"):
        tracelet.begin  # noqa: B018  it raises


def test_the_pages_backend_mirrors_a_run(experiments, tmp_path):
    """It is found by name, configured, started, told all in order, and stopped."""
    experiment = tracelet.start_logging(
        exp_name="first", project="demo", backend={"custom_backend": CONFIG}
    )
    for step in range(5):
        experiment.log_metric("loss", step / 10, step)
    experiment.log_params({"opt": {"lr": 0.1}})
    (tmp_path / "model.bin").write_bytes(b"\x00\x01")
    experiment.log_artifact("model.bin", "models/model.bin")
    tracelet.stop_logging()
    (made,) = experiments
    assert made.metrics == [("loss", step / 10, step) for step in range(5)]
    assert (made.name, made.params) == ("first", {"opt.lr": 0.1})
    assert Path(made.artifacts["models/model.bin"]).read_bytes() == b"\x00\x01"
    assert made.running is False
    place = experiment.mirrors()["custom_backend"]
    assert (place.delivered, place.dropped, place.closed) == (7, 0, True)
    kept = (experiment.directory / "mirrors" / "custom_backend.json").read_text()
    assert '"api_token"' not in kept, "no secret is kept"


def test_its_configuration_is_checked_before_the_run_begins():
    with pytest.raises(ConfigError, match="api_token"):
        tracelet.start_logging("e", backend={"custom_backend": {"server_url": "x"}})
    assert tracelet.get_active_experiment() is None


def test_an_instance_that_a_script_started_itself_is_a_backend_too(experiments):
    plugin = importlib.import_module("my_package.plugins").CustomBackendPlugin()
    plugin.config = dict(CONFIG)
    plugin.initialize(dict(CONFIG))
    with tracelet.Experiment("e", backend=plugin) as experiment:
        experiment.log_metric("loss", 0.5, 0)
    assert experiments[0].metrics == [("loss", 0.5, 0)]
