"""Hooks registered with an orchestrator hear of real phases, as document 000 shows it."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from steelyard.dialects.aiperf.cli_runner import run_benchmark
from steelyard.dialects.aiperf.common.enums import CreditPhase
from steelyard.dialects.aiperf.config.cli_parameter import CLIParameter, Groups
from steelyard.dialects.aiperf.config.loader import build_benchmark_plan
from steelyard.dialects.aiperf.config.loader.errors import ConfigurationError
from steelyard.dialects.aiperf.timing.phase_lifecycle_hooks import BasePhaseLifecycleHook
from steelyard.dialects.aiperf.timing.phase_orchestrator import PhaseOrchestrator
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.server import MockServer
from steelyard.testing.plugins import mock_plugin


class CustomAlertHook(BasePhaseLifecycleHook):
    """The document's hook: tells of slow phases."""

    def __init__(self, limit_s=0.0, log=None):
        self.limit_s = limit_s
        self.alerts = log if log is not None else []
        self.loops = set()

    async def on_phase_start(self, phase: CreditPhase, tracker):
        self.loops.add(asyncio.get_running_loop())
        self.started = (str(phase), phase.name, tracker.create_stats().sent)

    async def on_phase_complete(self, phase: CreditPhase, tracker):
        stats = tracker.create_stats()
        duration = (stats.end_ns - stats.start_ns) / 1e9
        if duration > self.limit_s:
            await self._send_alert(f"Slow phase detected: {phase} took {duration}s", stats)

    async def _send_alert(self, message, stats):
        self.alerts.append((message, stats))


class Raising(BasePhaseLifecycleHook):
    """A hook that harms itself only."""

    async def on_phase_start(self, phase, tracker):
        raise RuntimeError("no mail server")


@asynccontextmanager
async def mock_server():
    server = MockServer(MockOptions(ttft_ms=1.0, itl_ms=0.1))
    port = await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


def config(url, directory):
    return {
        "models": ["m"],
        "endpoint": {"urls": [url], "streaming": True},
        "input": {"isl_mean": 8, "osl_mean": 4},
        "load": {"concurrency": 2, "request_count": 12},
        "output": {"artifact_dir": str(directory)},
        "ui": "none",
    }


@pytest.mark.real_time
async def test_hooks_hear_of_a_real_phase_on_the_callers_loop(tmp_path):
    """Register, execute, look: counts and times are those of the run; one raising hook is alone."""
    orchestrator = PhaseOrchestrator()
    hook = CustomAlertHook()
    orchestrator.register_hook(Raising())
    orchestrator.register_hook(hook)
    async with mock_server() as url:
        outcome = await orchestrator.execute_phase(config(url, tmp_path))
    assert hook.started == ("profiling", "PROFILING", 0)
    assert hook.loops == {asyncio.get_running_loop()}
    (message, stats), *rest = hook.alerts
    assert rest == []
    took_s = (stats.end_ns - stats.start_ns) / 1e9
    assert message == f"Slow phase detected: profiling took {took_s}s"
    assert (stats.sent, stats.completed, stats.cancelled, stats.in_flight) == (12, 12, 0, 0)
    assert stats.start_ns <= stats.sent_end_ns <= stats.end_ns
    assert outcome.summary.metrics["request_count"].avg == 12
    assert json.loads((tmp_path / "profile_export.json").read_bytes())["run"]["status"]


async def test_initialize_makes_the_hooks_that_the_configuration_enables():
    """Names and options come from `plugins.phase_hooks`, order from the priorities."""
    heard: list[str] = []

    class Late(CustomAlertHook):
        async def on_phase_start(self, phase, tracker):
            heard.append("late")

    class Early(CustomAlertHook):
        async def on_phase_start(self, phase, tracker):
            heard.append(f"early {self.limit_s}")

    schema = {"limit_s": {"type": "number", "default": 60}}
    plugins = {"phase_hooks": [{"name": "late"}, {"name": "early", "config": {"limit_s": 5}}]}
    with (
        mock_plugin("phase_hook", "late", Late, priority=90),
        mock_plugin("phase_hook", "early", Early, priority=10, config_schema=schema),
    ):
        orchestrator = PhaseOrchestrator({"plugins": plugins})
        await orchestrator.initialize()
        await orchestrator._hooks.fire("on_phase_start", "warmup", None)  # type: ignore[arg-type]
    assert heard == ["early 5", "late"]


async def test_initialize_without_a_configuration_takes_every_enabled_hook():
    """What the registries enable is registered; what they disable is not."""
    made: list[str] = []

    class Counted(BasePhaseLifecycleHook):
        def __init__(self):
            made.append("enabled")

    class Disabled(BasePhaseLifecycleHook):
        def __init__(self):
            made.append("disabled")

    with (
        mock_plugin("phase_hook", "counted", Counted),
        mock_plugin("phase_hook", "not_counted", Disabled, enabled=False),
    ):
        await PhaseOrchestrator().initialize()
    assert made == ["enabled"]


@pytest.mark.real_time
async def test_a_plan_can_be_made_first_and_from_a_file(tmp_path):
    """The loader's plan is what the orchestrator and the runner take."""
    async with mock_server() as url:
        file = tmp_path / "plan.yaml"
        file.write_text(json.dumps(config(url, tmp_path / "run")))
        plan = build_benchmark_plan(file)
        assert plan.phases[-1].request_count == 12
        outcome = await PhaseOrchestrator().execute_phase(plan)
    assert outcome.directory == str(tmp_path / "run")
    assert callable(run_benchmark)


def test_a_wrong_configuration_names_its_mistakes(tmp_path):
    """The dialect's error is the core's, with a line per mistake."""
    (tmp_path / "x.yaml").write_text("load: {request_cuont: 3}\n")
    with pytest.raises(ConfigurationError, match="request_count"):
        build_benchmark_plan(tmp_path / "x.yaml")


def test_flags_and_groups_are_named():
    """The 29 groups of the help pages, and the description of a flag."""
    groups = [
        "ENDPOINT",
        "INPUT",
        "FIXED_SCHEDULE",
        "GOODPUT",
        "OUTPUT",
        "HTTP_TRACE",
        "TOKENIZER",
        "LOAD_GENERATOR",
        "WARMUP",
        "USER_CENTRIC",
        "REQUEST_CANCELLATION",
        "CONVERSATION_INPUT",
        "ISL",
        "OSL",
        "PROMPT",
        "PREFIX_PROMPT",
        "RANKINGS",
        "SYNTHESIS",
        "AUDIO_INPUT",
        "IMAGE_INPUT",
        "VIDEO_INPUT",
        "SERVICE",
        "SERVER_METRICS",
        "GPU_TELEMETRY",
        "UI",
        "WORKERS",
        "ZMQ_COMMUNICATION",
        "ACCURACY",
        "MULTI_RUN",
    ]
    assert all(isinstance(getattr(Groups, name), str) for name in groups)
    assert CLIParameter(names=("--my-new-flag",), group=Groups.LOAD_GENERATOR).names
