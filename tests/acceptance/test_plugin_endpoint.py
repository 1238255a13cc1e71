"""An endpoint plugin that raises as requests are built or answers read: named, the run is kept."""

import json

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
  unbuilding:
    class: faulty_endpoint:Unbuilding
    description: d
    metadata: {streams: true, sends_messages: true}
  barren:
    class: faulty_endpoint:Barren
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


class Unbuilding(ChatEndpoint):
    def build(self, history, context):
        if len(history[-1].text) % 4 == 0:
            raise ZeroDivisionError("in the request")
        return super().build(history, context)


class Barren(ChatEndpoint):
    def build(self, history, context):
        raise ZeroDivisionError("in the request")
"""


def run_with(endpoint, url, tmp_path, *flags):
    """Run and return with an endpoint of the plugin."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(REGISTRY)
    (plugins / "faulty_endpoint.py").write_text(CODE)
    run = Run(
        url, tmp_path / "run", "--plugin-dir", str(plugins), "--endpoint-type", endpoint,
        "--streaming", "--workers", "1", "--concurrency", "4", "--no-use-server-token-count",
        *flags,
    )  # fmt: skip
    run.wait()
    return run


@pytest.fixture(scope="module")
def url():
    with mock_server() as found:
        yield found


@pytest.mark.parametrize("flags", [(), ("--run-type", "inline"), ("--prefill-concurrency", "2")])
def test_a_fault_of_an_endpoint_plugin_costs_the_requests_that_met_it(url, tmp_path, flags):
    """Of each four answers one stream raises and the texts of one: 20 of 40 fail, 20 count."""
    run = run_with("faulty", url, tmp_path, "--request-count", "40", "--fail-on", "", *flags)
    assert run.process.returncode == 0, run.err
    found = {error["kind"]: error for error in run.summary["errors"]}
    assert found["plugin"]["count"] == 20
    assert "Plugin endpoint 'faulty' failed to" in found["plugin"]["example"]
    assert "read_stream()" in found["plugin"]["example"]
    assert run.summary["metrics"]["request_count"]["avg"] == 20
    assert "worker_lost" not in run.causes()


def test_requests_that_a_plugin_can_not_build_fail_and_the_others_are_sent(url, tmp_path):
    """Prompts of 12 letters can't be built, those of 13 can: 20 of 40 each."""
    texts = [json.dumps({"text": "x" * (12 + n % 2)}) for n in range(40)]
    (tmp_path / "texts.jsonl").write_text("\n".join(texts))
    run = run_with(
        "unbuilding", url, tmp_path, "--input-file", str(tmp_path / "texts.jsonl"),
        "--request-count", "40", "--fail-on", "",
    )  # fmt: skip
    assert run.process.returncode == 0, run.err
    (error,) = run.summary["errors"]
    assert (error["kind"], error["count"]) == ("plugin", 20)
    assert error["example"] == (
        "Plugin endpoint 'unbuilding' failed to build a request: ZeroDivisionError: in the request."
    )
    assert run.summary["metrics"]["request_count"]["avg"] == 20
    assert "worker_lost" not in run.causes()


def test_a_plugin_that_builds_nothing_ends_the_run_and_is_named(url, tmp_path):
    """A hundred failures in a row are enough to tell, however long the phase was meant to be."""
    run = run_with("barren", url, tmp_path, "--benchmark-duration", "60")
    assert run.process.returncode == 1, run.err
    causes = {cause["code"]: cause["message"] for cause in run.summary["verdict"]["causes"]}
    assert set(causes) >= {"all_failed", "ended_early"}
    assert "worker_lost" not in causes
    assert (
        "100 requests in a row could not be built: Plugin endpoint 'barren' failed to build a "
        "request: ZeroDivisionError: in the request" in causes["ended_early"]
    )
    assert "Mend the plugin" in causes["all_failed"]
