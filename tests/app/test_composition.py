"""One host per set of plugin directories, named in the configuration or the environment."""

import os

from steelyard.app.composition import plugin_dirs, standard_host


def test_directories_come_from_the_configuration_then_the_environment():
    environ = {"STEELYARD_PLUGIN_DIRS": os.pathsep.join(["/b", "", "/c", "/b"])}
    assert plugin_dirs(environ, ("/a", "/c")) == ("/a", "/c", "/b")
    assert plugin_dirs({}) == ()


def test_the_standard_host_is_made_once(monkeypatch, tmp_path):
    monkeypatch.delenv("STEELYARD_PLUGIN_DIRS", raising=False)
    first = standard_host()
    assert standard_host() is first
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(tmp_path))
    assert standard_host() is not first
