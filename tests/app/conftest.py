"""Loads configurations against the plugins that come with Steelyard, and no environment."""

from pathlib import Path

import pytest

from steelyard.app.config import load_plan
from steelyard.runtime.plugin_host import PluginHost


@pytest.fixture(scope="session")
def host():
    return PluginHost.standard()


@pytest.fixture
def plan_of(host, tmp_path, monkeypatch):
    """Return a function that makes a plan of YAML text, flags and environment."""
    monkeypatch.chdir(tmp_path)

    def make(text=None, environ=None, **flags):
        path = None
        if text is not None:
            path = Path("run.yaml")
            path.write_text(text)
        return load_plan(
            config_path=path,
            flags=flags,
            environ=environ or {},
            now_wall_ns=1_800_000_000_000_000_000,
            entropy=b"\x01\x02\x03",
            host=host,
        )

    return make
