"""A ui behind the border: what it raises costs a look at the run, never the run."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.ports import Ui
from steelyard.kernel.errors import SteelyardError
from steelyard.plugins.hooks import FAILURES_MAX, Counts
from steelyard.runtime.callback_errors import answering
from steelyard.runtime.plugin_border import PluginBorder

_log = logging.getLogger("steelyard.run")


class GuardedUi:
    """Shows what a ui shows, until that has failed too often; then another one goes on.

    A callback that the ui left on the controller's loop is the ui's as well.

    Args:
        ui: the plugin's.
        label: names it.
        border: where failures are counted.
        instead: makes who goes on; None from it, or without it, shows nothing.

    Attributes:
        counts: how it has done so far.
    """

    def __init__(
        self,
        ui: Ui,
        label: str,
        border: PluginBorder,
        instead: Callable[[], Ui | None] = lambda: None,
    ) -> None:
        self.label, self.counts = label, Counts()
        self._ui: Ui | None = ui
        self._border, self._instead = border, instead
        self._other: GuardedUi | None = None
        self._left_behind = 0
        self._unsaid: list[str] = []

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Have the progress shown by whose turn it is.

        Notes are handed over once: those of an update that failed come with the next one.
        """
        if self._unsaid:
            live = {**live, "notes": [*self._unsaid, *live.get("notes", ())]}
            self._unsaid = []
        if self._ui is not None:
            if self._crossed("show the run", lambda ui: ui.update(stats, live)):
                self.counts.failures_in_a_row = 0
            else:
                self._unsaid = list(live.get("notes", ()))
            return
        if self._other is not None:
            self._other.update(stats, live)

    def close(self) -> None:
        """Have each of them leave the terminal as it was."""
        self._crossed("close", lambda ui: ui.close())
        if self._other is not None:
            self._other.close()

    def _crossed(self, action: str, call: Callable[[Ui], None]) -> bool:
        """Call the ui, if it is still there; False when it failed."""
        if self._ui is None:
            return True
        self.counts.calls += 1
        try:
            with answering(self._failed_later), self._border.crossing(self.label, action):
                call(self._ui)
        except SteelyardError as error:
            self._failed(str(error), error)
            return False
        return True

    def _failed_later(self, error: Exception) -> bool:
        """Take a callback's exception; it ends nothing, and is only logged."""
        self._border.failures[self.label] += 1
        self._left_behind += 1
        self._failed(f"a callback that it left behind raised {type(error).__name__}: {error}", None)
        return False

    def _failed(self, text: str, error: SteelyardError | None) -> None:
        counts = self.counts
        counts.failures += 1
        counts.failures_in_a_row += 1
        counts.last_error = text
        if counts.failures == 1:
            _log.error("%s failed, and the run goes on: %s", self.label, text, exc_info=error)
        # A reader that raises does so at every turn of the loop, whatever the ui shows meanwhile.
        most = max(counts.failures_in_a_row, self._left_behind)
        if self._ui is None or most < FAILURES_MAX:
            return
        counts.quarantined = True
        _log.error("%s failed %d times and is asked no more", self.label, counts.failures)
        self._give_up(self._ui)

    def _give_up(self, ui: Ui) -> None:
        self._ui = None
        try:
            with answering(self._failed_later), self._border.crossing(self.label, "close"):
                ui.close()
        except SteelyardError as error:
            _log.error("%s", error)
        other = self._instead()
        if other is not None:  # guarded as well: a terminal that is gone is gone for both
            self._other = GuardedUi(other, f"what stands in for {self.label}", self._border)
