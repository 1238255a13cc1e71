"""All that is told of a benchmark while it runs: trackers, and a collector."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from steelyard.app.bench_tracking.tracking import Tracked, Tracking, tracking_of
from steelyard.app.otel_streaming import Streamed, Streaming, streaming_of
from steelyard.domain.bench.messages import PhaseStats, ReportBuilt
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import Ui
from steelyard.runtime.plugin_host import PluginHost


class Feeds:
    """Several feeds as one."""

    def __init__(self, feeds: Sequence[Ui]) -> None:
        self._feeds = feeds

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Tell each."""
        for feed in self._feeds:
            feed.update(stats, live)

    def close(self) -> None:
        """Each is closed by who made it."""


class Telling:
    """Whoever is told of one run."""

    def __init__(self, tracking: Tracking | None, streaming: Streaming | None) -> None:
        self._tracking = tracking
        self._streaming = streaming
        self._streamed: Streamed | None = None
        self.feed = Feeds([one.feed for one in (tracking, streaming) if one is not None])

    def end(self, status: str, report: ReportBuilt) -> None:
        """Tell how the run ended."""
        if self._tracking is not None:
            self._tracking.end(status, report)
        if self._streaming is not None:
            self._streaming.end()

    def tracked(self) -> Tracked | None:
        """Wait for trackers; see `Tracking.finish`."""
        return self._tracking.finish() if self._tracking is not None else None

    def streamed(self) -> Streamed | None:
        """Wait for the collector; see `Streaming.finish`."""
        if self._streamed is None and self._streaming is not None:
            self._streamed = self._streaming.finish()
        return self._streamed


@contextmanager
def telling_of(
    plan: Plan, host: PluginHost, environ: Mapping[str, str] = os.environ
) -> Iterator[Telling]:
    """Yield who is told; raises as `tracking_of` and `streaming_of`."""
    with ExitStack() as stack:
        tracking = streaming = None
        if plan.track is not None:
            tracking = stack.enter_context(tracking_of(plan, plan.track, host, environ))
        if plan.otel is not None:
            streaming = stack.enter_context(streaming_of(plan, plan.otel, host, environ))
        yield Telling(tracking, streaming)
