"""What a person sees while a run goes on, on a real terminal and in a log."""

import os
import pty
import re
import signal
import subprocess
import threading
import time

import pytest
from acceptance_runs import STEELYARD, mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

WIDTH = 100
CHAT = ("--endpoint-type", "chat", "--streaming", "--isl", "20", "--osl", "8")


class TerminalRun:
    """A run on a pseudo-terminal: what it writes, and when."""

    def __init__(self, url, folder, *flags):
        ours, theirs = pty.openpty()
        self.writes = []
        self._ours = ours
        self.process = subprocess.Popen(
            [*STEELYARD, "profile", "-m", "mock", "-u", url, "--artifact-dir", str(folder), *flags],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**os.environ, "COLUMNS": str(WIDTH)},
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # EIO is how a terminal says that its last writer is gone
                return
            self.writes.append((time.monotonic(), data.decode()))

    def wait(self, timeout_s=100):
        """Return the exit code."""
        try:
            return self.process.wait(timeout_s)
        finally:
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self._reader.join(60)
            os.close(self._ours)

    @property
    def text(self):
        return "".join(data for _, data in self.writes)

    @property
    def lines(self):
        """Return each state of the line, in order, without control characters."""
        bare = self.text.replace("\x1b[K", "")
        return [line for line in re.split(r"[\r\n]+", bare) if line]

    def until(self, words, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while words not in self.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert words in self.text, self.lines[-3:]


def test_a_terminal_has_one_line_a_phase_rewritten_twice_a_second(tmp_path):
    """Phases by number, figures of their own, errors by kind, no line wider than the terminal."""
    with mock_server("--ttft-ms", "100", "--itl-ms", "5", "--fail-rate", "0.2") as url:
        flags = ("--warmup-request-count", "30", "--warmup-concurrency", "4",
                 "--request-rate", "50", "--benchmark-duration", "3", "--fail-on", "")  # fmt: skip
        shown = TerminalRun(url, tmp_path, *CHAT, *flags)
        assert shown.wait() == 0, shown.lines
    warmup = [line for line in shown.lines if line.startswith("warmup 1/2 ")]
    profiling = [line for line in shown.lines if line.startswith("profiling 2/2 ")]
    assert warmup
    assert profiling
    after = shown.lines[len(warmup) + len(profiling) :]
    assert after[0] == "reading the journal"
    assert "writing parquet" in after
    assert all(line.startswith(("reading ", "writing ")) for line in after), after
    assert all(len(line) < WIDTH for line in shown.lines)
    # Twice a second; a phase's beginning, end of sending and end are told.
    told_s = [at for at, data in shown.writes if "profiling 2/2 " in data]
    assert len(profiling) <= 2 * (told_s[-1] - told_s[0]) + 6
    last = profiling[-1]
    assert re.search(r"\| \d+ http_status$", last), last
    assert "in flight" not in last or "0 in flight" in last or "in flight 0" in last
    assert any(re.search(r"sent \d+(\.\d+)?/s", line) for line in profiling), profiling
    assert any("TTFT" in line for line in profiling)
    assert any(line.endswith(" left") for line in profiling)
    # Rewritten in place: only the end of a phase moves on to the next line.
    assert shown.text.count("\n") == 2


def test_ctrl_c_tells_what_happens_and_how_long_it_may_take(tmp_path):
    """First the requests in flight may finish within the grace; then they are cancelled."""
    with mock_server("--ttft-ms", "3600000") as url:
        load = ("--concurrency", "3", "--benchmark-duration", "3600")
        shown = TerminalRun(url, tmp_path, *CHAT, *load, "--benchmark-grace-period", "290")
        shown.until("in flight 3")
        os.kill(shown.process.pid, signal.SIGINT)
        shown.until("grace 4:")
        os.kill(shown.process.pid, signal.SIGINT)
        assert shown.wait() == 130
    said = [line for line in shown.lines if line.startswith("stopping:")]
    assert len(said) == 2, shown.lines
    assert "may finish" in said[0]
    assert "are cancelled" in said[1]
    assert any(re.search(r"\| grace 4:[0-5]\d left$", line) for line in shown.lines)
    assert "Traceback" not in shown.text


def test_a_log_has_whole_lines_and_no_control_characters(tmp_path):
    """Where stderr is a file or a pipe: the beginning and the end of each phase."""
    with mock_server("--ttft-ms", "20", "--itl-ms", "2") as url:
        load = ("--concurrency", "4", "--request-count", "120", "--ui", "simple")
        begun = time.monotonic()
        done = run(url, tmp_path, *CHAT, *load)
        took_s = time.monotonic() - begun
    lines = done.err.splitlines()
    assert lines[0].startswith("profiling 0:00 | done 0/120 ")
    assert re.match(r"profiling \d+:\d\d \|", lines[-1])
    assert "| done 120/120 | in flight 0 |" in lines[-1]
    assert len(lines) <= 4 + took_s / 5
    assert "\x1b" not in done.err
    assert "\r" not in done.err
