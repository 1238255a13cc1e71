"""A plugin that can't start in a role of a run: named with what it raised, and the code is 3."""

import pytest
from acceptance_runs import Run, mock_server

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

REGISTRY = """
plugin: {name: faulty, version: 1.0.0, description: d, enabled: true}
transport:
  faulty: {class: "faulty_plugins:Transport", description: d}
  deaf: {class: "faulty_plugins:Deaf", description: d}
dataset:
  faulty: {class: "faulty_plugins:Dataset", description: d}
arrival:
  unfit: {class: "faulty_plugins:Unfit", description: d}
"""
CODE = """
from steelyard.builtin.dataset.synthetic import SyntheticDataset
from steelyard.builtin.transport.http1 import Http1Transport


class Transport(Http1Transport):
    def __init__(self, *arguments):
        raise ZeroDivisionError("at the start")


class Deaf(Http1Transport):
    async def open(self, connections):
        raise ZeroDivisionError("at the start")


class Dataset(SyntheticDataset):
    def __init__(self, *arguments):
        raise ZeroDivisionError("at the start")


class Unfit:
    pass
"""
RAISED = "Plugin {} 'faulty' failed to start up: ZeroDivisionError: at the start"
DEAF = "Plugin transport 'deaf' failed to open its connections: ZeroDivisionError: at the start"
UNFIT = "The arrival 'unfit' can't be used: faulty_plugins:Unfit has no method offsets_ns"


@pytest.fixture(scope="module")
def url():
    with mock_server() as found:
        yield found


@pytest.mark.parametrize(
    ("run_type", "flags", "said"),
    [
        ("process", ("--transport", "faulty"), RAISED.format("transport")),
        ("inline", ("--transport", "faulty"), RAISED.format("transport")),
        ("process", ("--transport", "deaf"), DEAF),
        ("process", ("--dataset-type", "faulty"), RAISED.format("dataset")),
        ("process", ("--arrival-pattern", "unfit", "--request-rate", "9"), UNFIT),
    ],
    ids=["transport", "transport-inline", "deaf", "dataset", "arrival"],
)
def test_a_plugin_that_can_not_start_in_a_role_ends_the_run_with_3(
    url, tmp_path, run_type, flags, said
):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(REGISTRY)
    (plugins / "faulty_plugins.py").write_text(CODE)
    run = Run(
        url, tmp_path / "run", "--plugin-dir", str(plugins), "--run-type", run_type,
        "--request-count", "4", *flags,
    )  # fmt: skip
    assert run.wait() == 3, run.err
    (error,) = [line for line in run.err.splitlines() if line.startswith("error:")]
    assert said in error
