"""Plans for a cluster, and the objects that become of them."""

from pathlib import Path

import pytest
from k8s_schemas import documents

from steelyard.app.config import load_plan
from steelyard.app.kubernetes.writing import write_manifests
from steelyard.runtime.plugin_host import PluginHost

URL = "http://llm.models.svc:8000"


@pytest.fixture(scope="session")
def host():
    return PluginHost.standard()


@pytest.fixture
def plan_of(host, tmp_path, monkeypatch):
    """Return a function that makes a plan of flags and environment."""
    monkeypatch.chdir(tmp_path)

    def make(environ=None, config=None, **flags):
        return load_plan(
            config_path=config,
            flags={"run_type": "k8s", "url": URL, "model": "m", **flags},
            environ=environ or {},
            now_wall_ns=1_800_000_000_000_000_000,
            entropy=b"\x01\x02\x03",
            host=host,
        )

    return make


@pytest.fixture
def written(plan_of):
    """Return a function that writes the manifests of a plan, and returns them and their text."""

    def write(environ=None, **flags):
        found = write_manifests(plan_of(environ, **flags))
        texts = {path.name: Path(path).read_text() for path in found.files}
        return found, {name: documents(text) for name, text in texts.items()}, texts

    return write
