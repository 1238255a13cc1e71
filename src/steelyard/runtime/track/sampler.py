"""Drives one collector of a run in a thread of its own, which nobody waits for."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from steelyard.domain.track.collection import PERIOD_MIN_S, Beat, Health, check_period, numbers_in
from steelyard.domain.track.ports import Noted
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.plugin_border import PluginBorder

PERIOD_S = 1.0
"""How often a collector is asked that does not say it itself."""

_NS = 1_000_000_000
_log = logging.getLogger("steelyard.track")
# Making one may import its package, and the plugin host does that one at a time.
_making = threading.Lock()


class Sink(Protocol):
    """Where a collector's answers go."""

    def sample(self, label: str, values: Mapping[str, float]) -> None:
        """Log numbers."""

    def noted(self, label: str, facts: Noted) -> None:
        """Log what is said once."""

    def remark(self, label: str, text: str) -> None:
        """Keep a sentence on the collector itself with the run."""


class Sampler:
    """A collector and its thread, which does not keep the process alive.

    Args:
        label: names the collector in this run.
        make: makes it, in the thread.
        sink: takes its answers.
        clock: says when it is asked.
        period_s: how often; what the collector says itself without it.
        is_optional: nobody named it, so that it may be missing without a word.

    Attributes:
        samples: answers that were logged.
    """

    def __init__(
        self,
        label: str,
        make: Callable[[], Any],
        sink: Sink,
        clock: Clock,
        *,
        period_s: float | None = None,
        is_optional: bool = False,
    ) -> None:
        self.label = label
        self.samples = 0
        self._make = make
        self._sink = sink
        self._clock = clock
        self._period_s = period_s
        self._is_optional = is_optional
        self._border = PluginBorder()
        self._health = Health()
        self._stopping = threading.Event()
        self._missed = 0
        self._beyond = 0
        self._given_up = False
        self._thread = threading.Thread(
            target=self.run, name=f"steelyard-collector-{label}", daemon=True
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end; does not wait."""
        self._stopping.set()

    def join(self, within_s: float) -> bool:
        """Wait for its end within this time; return whether it came."""
        if self._thread.ident is not None:  # else the system had no thread for it
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Drive the collector until it is stopped or given up."""
        collector = self._begin()
        if collector is None:
            return
        try:
            # Whatever else of an odd object raises, such as its attributes and its answers' keys.
            with self._border.crossing(f"collector '{self.label}'", "work"):
                self._drive(collector)
        except SteelyardError as error:
            self._give_up(str(error))
        finally:
            self._end(collector)

    def _drive(self, collector: Any) -> None:
        if callable(getattr(collector, "facts", None)):
            self._note(collector)
        if callable(getattr(collector, "collect", None)):
            self._sample_on(collector)

    def _begin(self) -> Any:
        """Return the collector, started; None when that can't be done."""
        try:
            with _making:
                collector = self._make()
            self._call(collector, "validate_environment")
        except SteelyardError as error:
            level = logging.DEBUG if self._is_optional else logging.WARNING
            _log.log(level, "The run goes on without the collector '%s': %s", self.label, error)
            return None
        try:
            self._call(collector, "start")
        except SteelyardError as error:
            self._give_up(str(error))
            return None
        return collector

    def _call(self, collector: Any, name: str) -> Any:
        method = getattr(collector, name, None)
        if method is None:
            return None
        with self._border.crossing(f"collector '{self.label}'", name):
            return method()

    def _note(self, collector: Any) -> None:
        try:
            facts = self._call(collector, "facts")
            if not isinstance(facts, Noted):
                raise PluginError(
                    f"The collector '{self.label}' said no facts", got=facts, expected="a Noted"
                )
            self._sink.noted(self.label, facts)
        except SteelyardError as error:
            self._health.failed(str(error))
            _log.warning("The collector '%s' has no facts: %s", self.label, error)

    def _sample_on(self, collector: Any) -> None:
        period_s = check_period(self._period_s or getattr(collector, "period_s", PERIOD_S))
        begun_ns = self._clock.mono_ns()
        beat = Beat(period_s, begun_ns)
        while not self._stopping.wait(beat.wait_s(self._clock.mono_ns())):
            if not self._sample(collector):
                return
            beat.answered(self._clock.mono_ns())
            self._missed = beat.missed
        lived_s = (self._clock.mono_ns() - begun_ns) / _NS
        if not self.samples and lived_s >= PERIOD_MIN_S:
            self._sample(collector)

    def _sample(self, collector: Any) -> bool:
        """Log one answer; return False when the collector is given up."""
        try:
            answer = self._call(collector, "collect")
            if not isinstance(answer, Mapping):
                raise PluginError(
                    f"The collector '{self.label}' answered no names",
                    got=answer,
                    expected="a mapping of names to numbers",
                )
            sample = numbers_in(answer, self.label)
            if sample.values:
                self._sink.sample(self.label, sample.values)
                self.samples += 1
        except SteelyardError as error:
            if self._health.failed(str(error)):
                self._give_up(str(error))
                return False
            return True
        self._beyond += sample.beyond
        self._health.worked()
        return True

    def _give_up(self, why: str) -> None:
        self._given_up = True
        _log.warning("The collector '%s' is given up: %s", self.label, why)
        self._remark(f"given up: {why}")

    def _end(self, collector: Any) -> None:
        try:
            self._call(collector, "stop")
        except SteelyardError as error:
            self._health.failed(str(error))
            _log.debug("The collector '%s' did not stop well: %s", self.label, error)
        counts = {
            "failures": self._health.failures,
            "beats missed": self._missed,
            "values beyond the bounds": self._beyond,
        }
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        if told and not self._given_up:
            self._remark(f"{self.samples} samples, {told}")

    def _remark(self, text: str) -> None:
        try:
            self._sink.remark(self.label, text.partition("\n")[0])
        except SteelyardError as error:
            _log.debug("Nothing could be said of the collector '%s': %s", self.label, error)
