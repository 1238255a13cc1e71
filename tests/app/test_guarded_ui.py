"""A ui that fails: who is told, who goes on, and what ends."""

import asyncio

import pytest
import uvloop

from steelyard.app.guarded_ui import GuardedUi
from steelyard.domain.bench.messages import PhaseStats
from steelyard.kernel.errors import UsageError
from steelyard.plugins.hooks import FAILURES_MAX
from steelyard.runtime.callback_errors import watch_callbacks
from steelyard.runtime.plugin_border import PluginBorder

STATS = PhaseStats(phase="p", phase_index=0)


class Shows:
    """A ui that does what it is told to at each update."""

    def __init__(self, *does, closing=lambda: None):
        self.does, self.closing = list(does), closing
        self.updates = self.closed = 0

    def update(self, stats, live):
        self.updates += 1
        if self.does:
            self.does.pop(0)()

    def close(self):
        self.closed += 1
        self.closing()


def fails():
    raise ZeroDivisionError("at it")


def exits():
    raise SystemExit(3)


def fine():
    pass


def guarded(ui, other=None):
    border = PluginBorder()
    return GuardedUi(ui, "ui 'x'", border, lambda: other), border


@pytest.mark.parametrize("how", [fails, exits])
def test_what_a_ui_raises_is_counted_named_and_goes_no_further(how):
    ui = Shows(how, fine, closing=fails)
    view, border = guarded(ui)
    for _ in range(2):
        view.update(STATS, {})
    view.close()
    assert (ui.updates, ui.closed) == (2, 1)
    assert border.failures["ui 'x'"] == view.counts.failures == 2
    assert "Plugin ui 'x' failed to close: ZeroDivisionError: at it" in view.counts.last_error
    assert not view.counts.quarantined


def test_one_that_keeps_failing_is_closed_and_another_goes_on():
    ui, other = Shows(*[fails] * 99, closing=fails), Shows()
    view, _ = guarded(ui, other)
    for _ in range(FAILURES_MAX + 4):
        view.update(STATS, {})
    assert (ui.updates, ui.closed, other.updates) == (FAILURES_MAX, 1, 4)
    assert view.counts.quarantined
    view.close()
    assert (ui.closed, other.closed) == (1, 1)


def test_who_goes_on_may_fail_as_well_and_the_run_still_does_not():
    """Both write to the same terminal, which may be gone."""
    ui, other = Shows(*[fails] * 99), Shows(*[fails] * 99)
    view, _ = guarded(ui, other)
    for _ in range(3 * FAILURES_MAX):
        view.update(STATS, {})
    view.close()
    assert (ui.updates, other.updates, other.closed) == (FAILURES_MAX, FAILURES_MAX, 1)


def test_a_note_of_an_update_that_failed_comes_with_the_next_one():
    """Whoever shows that: it is said to the person once, and to nobody after that."""
    said = []

    class Says(Shows):
        def update(self, stats, live):
            super().update(stats, live)
            said.append(list(live["notes"]))

    view, _ = guarded(Shows(*[fails] * 99), Says(fails))
    for number in range(FAILURES_MAX + 3):
        view.update(STATS, {"notes": [str(number)]})
    assert said == [["0", "1", "2", "3", "4"], ["5"]]


def test_one_that_leaves_the_terminal_with_a_stated_error_is_let_go_as_well():
    def states():
        raise UsageError("The terminal is gone")

    ui, other = Shows(*[fails] * FAILURES_MAX, closing=states), Shows()
    view, _ = guarded(ui, other)
    for _ in range(FAILURES_MAX + 1):
        view.update(STATS, {})
    assert (ui.closed, other.updates) == (1, 1)


def test_failures_with_successes_between_them_leave_it_there():
    ui = Shows(*[fails, fails, fine] * 5)
    view, _ = guarded(ui)
    for _ in range(15):
        view.update(STATS, {})
    assert (ui.updates, view.counts.failures, view.counts.quarantined) == (15, 10, False)


def test_a_callback_that_a_ui_left_on_the_loop_is_the_uis():
    """And as many of them as a ui may raise in a row have it left out, whatever it shows."""
    ended = []

    def leaves():
        asyncio.get_running_loop().call_soon(fails)

    async def main():
        watch_callbacks(lambda error: ended.append(error) or True)
        ui = Shows(*[leaves] * FAILURES_MAX)
        view, border = guarded(ui)
        for _ in range(FAILURES_MAX):
            assert not view.counts.quarantined
            view.update(STATS, {})
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert border.failures["ui 'x'"] == view.counts.failures == FAILURES_MAX
        assert (view.counts.quarantined, ui.closed) == (True, 1)
        assert "a callback that it left behind raised" in view.counts.last_error

    uvloop.run(main())
    assert ended == []
