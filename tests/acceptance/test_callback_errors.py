"""A callback that raises in mid-run: the run ends soon, with a summary that names the error."""

import pytest
from acceptance_runs import Run, mock_server

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

REGISTRY = """
plugin: {name: stray, version: 1.0.0, description: d, enabled: true}
transport:
  stray: {class: "stray_plugins:Transport", description: d}
phase_hook:
  stray: {class: "stray_plugins:Hook", description: d}
ui:
  stray: {class: "stray_plugins:Ui", description: d}
"""
CODE = """
import asyncio
import pathlib
import threading
import time

from steelyard.builtin.transport.http1 import Http1Transport


def crash():
    raise ZeroDivisionError("in a callback")


class Transport(Http1Transport):
    sent = 0

    def submit(self, exchange):
        super().submit(exchange)
        self.sent += 1
        if self.sent == 50:
            self.loop.call_later(0.01, crash)


class Hook:
    def __init__(self, where, records):
        self.where = where
        self.records = pathlib.Path(records)

    async def on_phase_start(self, phase, tracker):
        loop = asyncio.get_running_loop()
        if self.where == "hook":
            loop.call_later(0.1, crash)
        else:
            threading.Thread(target=self.crash_later, args=(loop,)).start()

    def crash_later(self, loop):
        while self.records.stat().st_size < 20_000:
            time.sleep(0.05)
        loop.call_soon_threadsafe(crash)


class Ui:
    shown = 0

    def update(self, stats, live):
        self.shown += 1
        if self.shown <= 3:
            asyncio.get_running_loop().call_soon(crash)
            raise LookupError("while it showed the run")

    def close(self):
        raise BufferError("while it closed")
"""
CRASHED = "ZeroDivisionError: in a callback (stray_plugins.py:"


@pytest.fixture(scope="module")
def url():
    with mock_server("--ttft-ms", "10") as found:
        yield found


@pytest.fixture
def start(url, tmp_path):
    """Begin a run of an hour with the plugins; return it once it has ended."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "registry.yaml").write_text(REGISTRY)
    (plugins / "stray_plugins.py").write_text(CODE)

    def start(*flags, hook=""):
        if hook:
            config = tmp_path / "run.yaml"
            records = tmp_path / "run" / "journal" / "records.journal"
            use = f"{{name: stray, config: {{where: {hook}, records: {records}}}}}"
            config.write_text(f"plugins: {{phase_hooks: [{use}]}}\n")
            flags += ("--config", str(config))
        flags += () if "--benchmark-duration" in flags else ("--benchmark-duration", "3600")
        run = Run(
            url, tmp_path / "run", "--plugin-dir", str(plugins), "--concurrency", "4", *flags
        )  # fmt: skip
        assert run.wait() in {0, 1}, run.err
        return run

    return start


@pytest.mark.parametrize(("run_type", "workers"), [("process", 2), ("process", 1), ("inline", 1)])
def test_a_worker_whose_callback_raises_is_lost_and_the_verdict_says_why(start, run_type, workers):
    run = start("--transport", "stray", "--run-type", run_type, "--workers", str(workers))
    causes = run.causes()
    assert CRASHED in causes["worker_lost"]
    assert run.summary["verdict"]["status"] == "INVALID"
    assert run.summary["metrics"]["request_count"]["avg"] > 0


@pytest.mark.parametrize("run_type", ["process", "inline"])
def test_a_callback_of_the_controller_that_raises_ends_the_run_early_and_says_so(start, run_type):
    run = start("--run-type", run_type, hook="thread")
    assert f"the controller failed: {CRASHED}" in run.causes()["ended_early"]
    assert run.summary["metrics"]["request_count"]["avg"] > 0


def test_a_callback_that_a_hook_leaves_behind_costs_the_run_nothing(start):
    run = start("--benchmark-duration", "1", hook="hook")
    assert run.summary["run"]["status"] == "completed"
    assert {code for code in run.causes() if code in ("ended_early", "service_lost")} == set()
    assert "ZeroDivisionError: in a callback" in run.err


def test_a_ui_that_raises_wherever_it_can_costs_the_run_its_picture_and_is_named(start):
    run = start("--benchmark-duration", "1", "--ui", "stray", "--run-type", "inline")
    assert run.summary["run"]["status"] == "completed"
    (note,) = [note for note in run.summary["run"]["notes"] if "stray" in note]
    assert note.startswith("ui 'stray' failed ")
    assert "and was then left out: " in note
    assert {code for code in run.causes() if code in ("ended_early", "service_lost")} == set()
