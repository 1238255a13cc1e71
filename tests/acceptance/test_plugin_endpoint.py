"""An endpoint plugin that raises while answers are read: named, and the run is kept."""

import pytest
from acceptance_runs import Run, mock_server

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow]

REGISTRY = """
plugin: {name: faulty, version: 1.0.0, description: d, enabled: true}
endpoint:
  faulty:
    class: faulty_endpoint:Faulty
    description: d
    metadata: {streams: true, sends_messages: true}
"""
CODE = """
from steelyard.builtin.endpoint.chat import ChatEndpoint


class Faulty(ChatEndpoint):
    seen = 0

    def read_stream(self, events):
        Faulty.seen += 1
        if Faulty.seen % 4 == 0:
            raise ZeroDivisionError("in the stream")
        reading = super().read_stream(events)
        if Faulty.seen % 4 == 1:
            reading.texts = lambda: 1 / 0
        return reading
"""


@pytest.mark.parametrize("flags", [(), ("--run-type", "inline"), ("--prefill-concurrency", "2")])
def test_a_fault_of_an_endpoint_plugin_costs_the_requests_that_met_it(tmp_path, flags):
    """Of each four answers one stream raises and the texts of one: 20 of 40 fail, 20 count."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(REGISTRY)
    (plugins / "faulty_endpoint.py").write_text(CODE)
    with mock_server() as url:
        run = Run(
            url, tmp_path / "run", "--plugin-dir", str(plugins), "--endpoint-type", "faulty",
            "--streaming", "--workers", "1", "--concurrency", "4", "--request-count", "40",
            "--no-use-server-token-count", *flags,
        )  # fmt: skip
        assert run.wait() == 0, run.err
    found = {error["kind"]: error for error in run.summary["errors"]}
    assert found["plugin"]["count"] == 20
    assert "Plugin endpoint 'faulty' failed to" in found["plugin"]["example"]
    assert "read_stream()" in found["plugin"]["example"]
    assert run.summary["metrics"]["request_count"]["avg"] == 20
    assert "worker_lost" not in run.causes()
