"""Plans for a cluster, and the objects that become of them."""

from pathlib import Path

import pytest
from k8s_schemas import documents

from steelyard.app.kubernetes.writing import write_manifests

URL = "http://llm.models.svc:8000"


@pytest.fixture
def plan_of(plan_of):
    """Return a function that makes a plan of environment and flags, for a cluster."""

    def make(environ=None, **flags):
        return plan_of(None, environ, **{"run_type": "k8s", "url": URL, "model": "m", **flags})

    return make


@pytest.fixture
def written(plan_of):
    """Return a function that writes the manifests of a plan, and returns them and their text."""

    def write(environ=None, **flags):
        found = write_manifests(plan_of(environ, **flags))
        texts = {path.name: Path(path).read_text() for path in found.files}
        return found, {name: documents(text) for name, text in texts.items()}, texts

    return write
