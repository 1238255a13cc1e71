"""What frameworks a run may ask for, and what is said of one that can't be used."""

import sys

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.patching import prepare, wanted
from steelyard.kernel.errors import ConfigError, PluginError, UsageError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.saboteurs.framework import Library, Listens


@pytest.fixture
def host():
    made = PluginHost()
    schema = {"scale": {"type": "number", "default": 1}}
    made.register("framework", "toy", Listens, config_schema=schema)
    return made


@pytest.mark.parametrize(
    ("automagic", "found"),
    [
        (None, {}),
        (False, {}),
        (True, {"toy": {"scale": 1}}),
        ("toy", {"toy": {"scale": 1}}),
        (["toy"], {"toy": {"scale": 1}}),
        ({"toy": None}, {"toy": {"scale": 1}}),
        ({"toy": True}, {"toy": {"scale": 1}}),
        ({"toy": False}, {}),
        ({"toy": {"scale": 2}}, {"toy": {"scale": 2}}),
        (["locals"], {}),
    ],
)
def test_automagic_names_frameworks_in_several_ways(host, automagic, found):
    assert wanted(automagic, host) == found


@pytest.mark.parametrize(
    ("automagic", "error", "text"),
    [
        (["tyo"], PluginError, "Did you mean 'toy'"),
        ({"toy": {"scael": 2}}, ConfigError, "scael"),
        (7, UsageError, "This is no automagic"),
    ],
)
def test_what_can_not_be_asked_for_is_said_before_the_run_begins(host, automagic, error, text):
    with pytest.raises(error, match=text):
        prepare(automagic, host=host)


def test_one_that_is_disabled_is_an_error_by_name_only(host):
    host.disable("framework", "toy")
    assert prepare(True, host=host) is None
    with pytest.raises(PluginError, match="disabled by hand"):
        prepare(["toy"], host=host)


def test_one_that_does_not_start_is_an_error_by_name_only(monkeypatch, caplog):
    class Fails(Listens):
        def __init__(self):
            message = "no way"
            raise OSError(message)

    monkeypatch.setitem(sys.modules, "toy_training", Library())
    host = PluginHost()
    host.register("framework", "toy", Fails)
    attach = prepare(True, host=host)
    assert "no way" in caplog.text
    with Experiment("a") as experiment:
        attach(experiment)
    with pytest.raises(PluginError, match="no way"):
        prepare(["toy"], host=host)
