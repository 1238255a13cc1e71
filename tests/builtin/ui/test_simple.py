"""Progress on a terminal and in a log."""

import io

import msgspec

from steelyard.builtin.ui.simple import SimpleUi
from steelyard.domain.bench.messages import PhaseStats

S = 1_000_000_000
STATS = PhaseStats(phase="profiling", phase_index=0, sent=5, in_flight=5, start_ns=1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now_ns = 0

    def __call__(self):
        return self.now_ns


def test_a_terminal_has_one_line_rewritten():
    out = Terminal()
    ui = SimpleUi(out, Clock())
    for done in (1, 2, 3):
        ui.update(msgspec.structs.replace(STATS, completed=done), {})
    ui.close()
    assert out.getvalue() == (
        "\rprofiling 0:00 | done 1 | in flight 5\x1b[K"
        "\rprofiling 0:00 | done 2 | in flight 5\x1b[K"
        "\rprofiling 0:00 | done 3 | in flight 5\x1b[K\n"
    )


def test_a_narrow_terminal_never_wraps(monkeypatch):
    """A line that fills the last column would move on to the next line, and not be rewritten."""
    monkeypatch.setenv("COLUMNS", "30")
    out = Terminal()
    SimpleUi(out, Clock()).update(STATS, {})
    assert out.getvalue() == "\rprofiling 0:00 | done 0\x1b[K"


def test_a_log_gets_a_line_each_few_seconds_and_the_last():
    """Updates each half second for 12 s: at 0, 5 and 10 s, and when the phase ends."""
    out, clock = io.StringIO(), Clock()
    clock.now_ns = 100 * S
    stats = msgspec.structs.replace(STATS, start_ns=100 * S)
    ui = SimpleUi(out, clock)
    for half in range(24):
        clock.now_ns = 100 * S + half * S // 2
        ui.update(msgspec.structs.replace(stats, completed=half), {})
    ui.update(msgspec.structs.replace(stats, completed=24, end_ns=112 * S), {})
    ui.close()
    lines = out.getvalue().splitlines()
    assert [line.split(" | ")[1] for line in lines] == ["done 0", "done 10", "done 20", "done 24"]
    assert "\x1b" not in out.getvalue()


def test_a_log_of_a_long_phase_has_a_line_each_half_minute():
    """From 0:00 to 0:55 each 5 s, 12 lines; from 1:25 to 4:55 each 30 s, 8 lines."""
    out, clock = io.StringIO(), Clock()
    ui = SimpleUi(out, clock)
    for half in range(601):
        clock.now_ns = 100 * S + half * S // 2
        ui.update(msgspec.structs.replace(STATS, start_ns=100 * S, completed=half), {})
    assert len(out.getvalue().splitlines()) == 12 + 8


def test_what_a_log_has_not_seen_yet_is_written_at_the_end():
    out, clock = io.StringIO(), Clock()
    ui = SimpleUi(out, clock)
    ui.update(STATS, {})
    ui.update(msgspec.structs.replace(STATS, completed=9), {})
    ui.close()
    assert out.getvalue().splitlines()[-1].startswith("profiling 0:00 | done 9")


def test_a_note_is_said_at_once_and_the_line_comes_back():
    out = Terminal()
    ui = SimpleUi(out, Clock())
    ui.update(STATS, {"notes": ["lost worker_1: killed"]})
    assert "\r\x1b[Klost worker_1: killed\n\rprofiling" in out.getvalue()


def test_each_phase_has_a_line_of_its_own():
    out = Terminal()
    ui = SimpleUi(out, Clock())
    ui.update(msgspec.structs.replace(STATS, phase="warmup"), {})
    ui.update(msgspec.structs.replace(STATS, phase_index=1), {})
    assert out.getvalue().count("\n") == 1


def test_what_is_done_after_the_phases_has_a_line_that_goes_with_it():
    """The phase's last figures stay on the screen."""
    out = Terminal()
    ui = SimpleUi(out, Clock())
    ui.update(STATS, {})
    ui.update(STATS, {"doing": "writing csv"})
    ui.update(STATS, {"doing": "writing parquet", "notes": ["a word"]})
    ui.close()
    assert out.getvalue() == (
        "\rprofiling 0:00 | done 0 | in flight 5\x1b[K\n"
        "\rwriting csv\x1b[K\r\x1b[Ka word\n\rwriting parquet\x1b[K\r\x1b[K"
    )


def test_a_log_hears_of_what_takes_long_after_the_phases():
    out, clock = io.StringIO(), Clock()
    ui = SimpleUi(out, clock)
    for second in (100, 101, 106, 107):
        clock.now_ns = second * S
        ui.update(STATS, {"doing": f"step {second}"})
    ui.close()
    assert out.getvalue() == "step 106\n"


def test_a_note_with_somebody_elses_words_moves_no_cursor():
    out = io.StringIO()
    SimpleUi(out, Clock()).update(STATS, {"notes": ["lost worker_1 on \x1b[2Jbox\nERROR x"]})
    assert "lost worker_1 on ?[2Jbox ERROR x\n" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
