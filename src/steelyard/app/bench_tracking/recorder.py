"""The process that tracks a benchmark: makes an experiment of what the controller tells it.

It lives beside the load, at lower priority and away from Ctrl-C. A controller that vanishes without
a last word was killed, and so is the run: its journal just ends, which mirrors tell their trackers.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steelyard.app.bench_tracking.messages import (
    Done,
    Ended,
    Heard,
    Live,
    Mirrored,
    Opened,
    Opening,
    Refused,
    ToController,
    ToTracking,
)
from steelyard.app.track.active import leave
from steelyard.app.track.experiment import Experiment
from steelyard.domain.bench.redact import redacted_text
from steelyard.domain.track.references import filled
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.pipe_frames import Frames, frame_of
from steelyard.runtime.process import set_title, yield_to_others
from steelyard.runtime.track.bench_runs import status_of, summary_values

LIVE_SOURCE = "bench:live"
SUMMARY_SOURCE = "bench:summary"
NICE = 10
_READ_BYTES = 1 << 16

Answer = Callable[[ToController], None]


class Recorder:
    """One benchmark's run.

    Args:
        opening: the run to be; one that is there already goes on.
        answer: takes what the controller is told.

    Raises:
        SteelyardError: the run can't be made.
    """

    def __init__(self, opening: Opening, answer: Answer) -> None:
        self._answer = answer
        self._heard = 0
        self._step = 0
        self._first_ns: int | None = None
        self._experiment = Experiment(
            opening.name,
            opening.project,
            filled(opening.backends, os.environ),
            tags=opening.tags,
            params=opening.params,
            directory=opening.directory,
            run_id=opening.run_id,
            routing=opening.routing,
        )
        goes_on = self._experiment.store.place(opening.run_id).journal.is_dir()
        self._experiment.start()
        if goes_on:
            known = self._experiment.snapshot().metrics.values()
            self._step = 1 + max((series.last_step for series in known), default=-1)
        answer(Opened(self._experiment.run_id))

    def live(self, message: Live) -> None:
        """Log how a phase stands: `live/PHASE/FIGURE`, and the seconds since the first figures."""
        self._first_ns = message.at_ns if self._first_ns is None else self._first_ns
        elapsed_s = (message.at_ns - self._first_ns) / NS_PER_S
        values = {f"live/{message.phase}/{name}": v for name, v in message.values.items()}
        self._experiment.log_metrics(
            {"live/elapsed_s": elapsed_s, **values}, self._step, source=LIVE_SOURCE
        )
        self._step += 1
        self._heard += 1
        self._answer(Heard(self._heard))

    def ended(self, message: Ended) -> None:
        """Log what the benchmark came to, end the run, and say how far trackers are."""
        experiment = self._experiment
        values = summary_values(message.summary)
        experiment.log_metrics(values, self._step, source=SUMMARY_SOURCE)
        counts = {f"tracking.{name}": count for name, count in message.counts.items()}
        experiment.set_tags({"ended": message.status, **verdict_tags(message.summary), **counts})
        problems = []
        for name, path in message.files.items():
            try:
                experiment.log_artifact(Path(path), name)
            except SteelyardError as error:
                problems.append(str(error))
        failure = SteelyardError(redacted_text(message.error)) if message.error else None
        experiment.stop(status_of(message.status), failure)
        mirrors = {
            label: Mirrored(
                delivered=place.delivered,
                dropped=place.dropped,
                closed=place.closed,
                error=place.last_error,
            )
            for label, place in experiment.mirrors().items()
        }
        self._answer(Done(mirrors=mirrors, problems=problems))

    def abandon(self) -> None:
        """Leave the run as it is: it was killed, and nobody here ends it on its way out."""
        leave(self._experiment)


def verdict_tags(summary: dict[str, Any]) -> dict[str, str]:
    """Return the verdict of a summary, as plain data, as tags: the status and each cause."""
    verdict = summary.get("verdict", {})
    tags = {"verdict": str(verdict["status"])} if verdict.get("status") else {}
    for cause in verdict.get("causes", ()):
        tags[f"verdict.{cause['code']}"] = redacted_text(str(cause.get("message", "")))
    return tags


def serve() -> None:
    """Live through one benchmark: its controller at standard input, answers at standard output.

    What a plugin prints goes where errors go.
    """
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.argv[:] = ["steelyard profile"]  # how the run was called, as far as runs tell
    yield_to_others(os.getpid(), NICE)
    set_title("tracking")

    def answer(message: ToController) -> None:
        # A controller that gave up waiting reads no more; the run is finished all the same.
        with contextlib.suppress(BrokenPipeError):
            os.write(answers, frame_of(message))

    follow(sys.stdin.fileno(), answer)


def follow(fd: int, answer: Answer) -> None:
    """Make a run of the messages that come out of `fd`, until the last word or its end."""
    frames = Frames(ToTracking)
    recorder: Recorder | None = None
    while data := os.read(fd, _READ_BYTES):
        for message in frames.feed(data):
            if isinstance(message, Opening):
                try:
                    recorder = Recorder(message, answer)
                except SteelyardError as error:
                    answer(Refused(str(error)))
                    return
            elif recorder is not None and isinstance(message, Live):
                recorder.live(message)
            elif recorder is not None:
                recorder.ended(message)
                return
    if recorder is not None:
        recorder.abandon()
