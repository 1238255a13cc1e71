"""Streams a benchmark to an OpenTelemetry collector, from a process of its own.

Requests are read from the run's journal, which is written anyway; how phases stand comes from the
controller over a queue that never waits.
"""

import asyncio
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.track.backends import backend_specs, require
from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import OtelPlan, Plan
from steelyard.domain.bench.streaming import ResultStrategy, StrategyContext
from steelyard.runtime.fanout import EventPipe, Fanout, buffered_max
from steelyard.runtime.journal import journal_directory
from steelyard.runtime.otel.exporting import NICE, DirectQueue, Exporter, ExportSettings
from steelyard.runtime.otel.following import RecordsFollower
from steelyard.runtime.otel.metric_results import MetricResultsStrategy
from steelyard.runtime.otel.results import OtelResults
from steelyard.runtime.otel.timing_results import TimingResultsStrategy
from steelyard.runtime.pipe_frames import Frames, frame_of
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.process import set_title, yield_to_others
from steelyard.runtime.results_metrics import MetricSet

STRATEGIES: dict[str, Callable[[StrategyContext], ResultStrategy]] = {
    "metrics": MetricResultsStrategy,
    "timing": TimingResultsStrategy,
}
POLL_S = 0.25
CATCH_UP_S = 10.0
"""How long what is left may take after the run; the rest is counted, not told."""

END_S = CATCH_UP_S + 15.0
_PROGRAM = "from steelyard.app.otel_streaming import serve; serve()"
_READ_BYTES = 1 << 16
_log = logging.getLogger("steelyard.run")


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it: requests told, and left when time was up; looks at phases dropped."""

    requests: int = 0
    left: int = 0
    dropped: int = 0
    problem: str = ""


class PhaseFeed:
    """A `Ui` that shows how phases stand to the streaming process."""

    def __init__(self, fanout: Fanout) -> None:
        self._fanout = fanout

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Tell it; never waits."""
        if stats.phase_index >= 0:
            self._fanout.put(frame_of(stats))

    def close(self) -> None:
        """Nothing is held here."""


class Streaming:
    """The streaming process, as the controller sees it. Made by `streaming_of`."""

    def __init__(self, plan: Plan, otel: OtelPlan, environ: Mapping[str, str]) -> None:
        log = Path(plan.artifact_dir) / "logs" / "otel.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=output, env=environ, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101  asked for above
        self._pipe = EventPipe(self._process.stdin.fileno(), buffered_max(environ))
        fanout = Fanout(self._pipe, lambda text: _log.warning("otel: %s", text))
        fanout.put(frame_of((plan, otel)))
        self._fanout = fanout
        self.feed = PhaseFeed(fanout)

    def end(self) -> None:
        """Say that the run is over: the process catches up and ends, waited for or not."""
        if self._process.stdin is None:
            return
        deadline = time.monotonic() + 1.0
        while not self._pipe.flush() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._process.stdin.close()
        self._process.stdin = None

    def finish(self) -> Streamed:
        """Let it catch up, within bounds; say what became of it."""
        self.end()
        try:
            answer, _ = self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Streamed(problem="the process that streams did not end and was killed")
        try:
            streamed = msgspec.json.decode(answer, type=Streamed)
        except msgspec.MsgspecError:
            return Streamed(problem="the process that streams ended early; see logs/otel.log")
        return msgspec.structs.replace(streamed, dropped=self._fanout.dropped)


@contextmanager
def streaming_of(
    plan: Plan, otel: OtelPlan, host: PluginHost, environ: Mapping[str, str] = os.environ
) -> Iterator[Streaming]:
    """Yield the streaming of a run; a block that raises ends it as well.

    Raises:
        PluginError: the SDK is not installed.
    """
    # What the tracker's backend of that name needs is what is needed here.
    require(backend_specs("otel"), host)
    streaming = Streaming(plan, otel, environ)
    try:
        yield streaming
    except BaseException:
        streaming.finish()
        raise


def serve() -> None:
    """Stream one run: the controller at standard input, the outcome at standard output."""
    yield_to_others(os.getpid(), NICE)
    set_title("otel-stream")
    streamed = asyncio.run(_stream(sys.stdin.fileno()))
    sys.stdout.buffer.write(msgspec.json.encode(streamed))
    sys.stdout.buffer.flush()


async def _stream(fd: int) -> Streamed:
    frames = _frames(fd)
    plan, otel = msgspec.convert(next(frames), tuple[Plan, OtelPlan])
    host = standard_host(tuple(plan.options.get("plugin_dirs", ())))
    metrics = MetricSet(host, plan).record
    names = STRATEGIES if "default" in otel.stream else otel.stream
    settings = ExportSettings(endpoint_url=otel.url, resource_attributes=_resource(plan, otel))
    exporter = Exporter(settings)
    results = OtelResults(
        settings,
        [STRATEGIES[name] for name in names],
        queue=DirectQueue(exporter),
        units={tag: str(metric.unit) for tag, metric in metrics.items()},
    )
    follower = RecordsFollower(
        journal_directory(Path(plan.artifact_dir)),
        [phase.name for phase in plan.phases],
        list(metrics.values()) if "metrics" in names else [],
        host,
    )
    told = left = 0
    deadline = float("inf")
    for frame in frames:
        if isinstance(frame, dict):
            await results.process_result(msgspec.convert(frame, PhaseStats))
            continue
        if frame is _END:
            deadline = time.monotonic() + CATCH_UP_S
        for batch in follower.poll() if "metrics" in names else ():
            for record in batch:
                if time.monotonic() < deadline:
                    await results.process_result(record)
                    told += 1
                else:
                    left += 1
    problem = "" if exporter.close() else "the collector did not take it; see logs/otel.log"
    return Streamed(requests=told, left=left, problem=problem)


_END = object()


def _frames(fd: int) -> Iterator[Any]:
    """Yield what comes, None where nothing has for a while, and `_END` last."""
    frames = Frames()
    while True:
        if not select.select([fd], [], [], POLL_S)[0]:
            yield None
            continue
        data = os.read(fd, _READ_BYTES)
        if not data:
            yield _END
            return
        yield from frames.feed(data)
        yield None


def _resource(plan: Plan, otel: OtelPlan) -> dict[str, str]:
    return {
        "service.name": "steelyard",
        "service.instance.id": plan.run_id,
        "steelyard.endpoint.type": plan.endpoint.type,
        "steelyard.models": ",".join(plan.models),
        **otel.resource_attributes,
    }
