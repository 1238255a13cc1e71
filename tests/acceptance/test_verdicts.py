"""Every cause of a verdict, provoked for real: each run has the fault that its verdict names."""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from acceptance_runs import Run, mock_server, report, run, wait_until_gone

from steelyard.domain.bench.verdict_causes import CAUSES

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow]

CHAT = ("--endpoint-type", "chat", "--streaming", "--isl", "20", "--osl", "8", "--workers", "1")
BOTH = ("--fail-on", "SUSPECT,INVALID")
OPEN = ("--request-rate", "100", "--arrival-pattern", "constant")


class Case(NamedTuple):
    """A fault: how it is made, and what the verdict must say of it."""

    provoke: Callable[[Path], Run]
    statuses: tuple[str, ...]
    message: str
    exit_code: int
    next_step: str = ""


def _client_cpu(folder: Path) -> Run:
    """All of the client on one core with two hogs; each answer is 400 events to be read."""
    core, *others = sorted(os.sched_getaffinity(0))
    with mock_server() as url, _on_core(core, others), _hogs(2):
        flags = ("--osl", "400", "--concurrency", "64", "--benchmark-duration", "8", *BOTH)
        begun = Run(url, folder, *CHAT, *flags)
        begun.wait()
    return begun


@contextlib.contextmanager
def _on_core(core: int, others: list[int]) -> Iterator[None]:
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {core, *others})


@contextlib.contextmanager
def _hogs(count: int) -> Iterator[None]:
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: 0"]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


DAWDLES = """
import time

from steelyard.builtin.transport.http1 import Http1Transport


class Dawdling(Http1Transport):
    sent = 0

    def submit(self, exchange):
        self.sent += 1
        if self.sent in WHEN:
            time.sleep(SECONDS)
        super().submit(exchange)
"""
REGISTRY = """
plugin: {name: dawdling, version: 1.0.0, description: d, enabled: true}
transport:
  dawdling: {class: "dawdling_transport:Dawdling", description: d}
"""


def _dawdling(folder: Path, seconds: float, when: range, *flags: str) -> Run:
    """Send 100 requests a second through what sleeps before the ones numbered `when`."""
    plugins = folder / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "registry.yaml").write_text(REGISTRY)
    code = DAWDLES.replace("WHEN", repr(when)).replace("SECONDS", str(seconds))
    (plugins / "dawdling_transport.py").write_text(code)
    flags = ("--plugin-dir", str(plugins), "--transport", "dawdling", *flags)
    with mock_server("--ttft-ms", "20", "--itl-ms", "2") as url:
        return run(url, folder / "run", *CHAT, *OPEN, *flags)


def _some_sent_late(folder: Path) -> Run:
    """0.5 s of 10 s: too few for the median, even where the machine stands still for 3 s more."""
    return _dawdling(folder, 0.5, range(50, 51), "--request-count", "1000", *BOTH)


def _most_sent_late(folder: Path) -> Run:
    """0.5 s before one in 60: the 50 that were due meanwhile are late."""
    return _dawdling(folder, 0.5, range(10, 250, 60), "--request-count", "250")


def _coalesced(folder: Path) -> Run:
    """A server that writes a whole stream at once."""
    with mock_server("--ttft-ms", "20") as url:
        return run(url, folder, *CHAT, "--concurrency", "4", "--request-count", "120", *BOTH)


def _rate_missed(folder: Path) -> Run:
    """Two slots of 100 ms carry 20 requests/s, a fifth of the rate."""
    with mock_server("--ttft-ms", "100") as url:
        flags = ("--concurrency", "2", "--benchmark-duration", "3")
        return run(url, folder, *CHAT, *OPEN, *flags)


def _killed(role: str, *flags: str) -> Callable[[Path], Run]:
    def provoke(folder: Path) -> Run:
        with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
            load = ("--concurrency", "8", "--benchmark-duration", "9", *flags)
            begun = Run(url, folder, *CHAT, *load)
            begun.wait_until_sending()
            os.kill(begun.role_pid(role), signal.SIGKILL)
            begun.wait()
        return begun

    return provoke


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


def _set_clock(by_ns: int) -> None:
    """Step the machine's wall clock; skip where the kernel refuses."""
    seconds, nanoseconds = divmod(time.time_ns() + by_ns, 1_000_000_000)
    time_now = _Timespec(seconds, nanoseconds)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.clock_settime(time.CLOCK_REALTIME, ctypes.byref(time_now)):
        reason = os.strerror(ctypes.get_errno())
        pytest.skip(f"the clock can't be set here ({reason}); run as root with CAP_SYS_TIME")


def _clock_stepped(folder: Path) -> Run:
    """The clock is set 2 ms ahead in mid-run, and back."""
    with mock_server("--ttft-ms", "20", "--itl-ms", "2") as url:
        begun = Run(url, folder, *CHAT, "--concurrency", "4", "--benchmark-duration", "9", *BOTH)
        begun.wait_until_sending()
        _set_clock(2_000_000)
        time.sleep(0.3)
        _set_clock(-2_000_000)
        begun.wait()
    return begun


def _token_mismatch(folder: Path) -> Run:
    """A server that stops after 4 of 8 tokens."""
    with mock_server("--ttft-ms", "5", "--itl-ms", "2", "--tokens", "4") as url:
        return run(url, folder, *CHAT, "--concurrency", "4", "--request-count", "120", *BOTH)


def _too_few(folder: Path) -> Run:
    with mock_server("--ttft-ms", "20", "--itl-ms", "2") as url:
        return run(url, folder, *CHAT, "--concurrency", "4", "--request-count", "40", *BOTH)


def _failing(share: str, *flags: str) -> Callable[[Path], Run]:
    def provoke(folder: Path) -> Run:
        with mock_server("--ttft-ms", "5", "--itl-ms", "2", "--fail-rate", share) as url:
            load = ("--concurrency", "4", "--request-count", "200", *flags)
            return run(url, folder, *CHAT, *load)

    return provoke


def _gone_after_the_preflight(folder: Path) -> Run:
    """A server that takes one connection, as the run looks whether it is there, and is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take_one() -> None:
            listener.accept()[0].close()
            listener.close()

        thread = threading.Thread(target=take_one)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        begun = run(url, folder, *CHAT, "--concurrency", "2", "--request-count", "20")
        thread.join(5)
    return begun


def _stopped_by_a_person(folder: Path) -> Run:
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        begun = Run(url, folder, *CHAT, "--concurrency", "8", "--benchmark-duration", "3600")
        begun.wait_until_sending()
        os.killpg(begun.process.pid, signal.SIGINT)
        begun.wait()
    return begun


def _stopped_while_it_warms_up(folder: Path) -> Run:
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        warmup = ("--warmup-duration", "3600", "--warmup-concurrency", "8")
        begun = Run(url, folder, *CHAT, "--request-count", "10", "--concurrency", "2", *warmup)
        begun.wait_until_sending()
        os.killpg(begun.process.pid, signal.SIGINT)
        begun.wait()
    return begun


def _controller_killed(folder: Path) -> Run:
    """The run has no end; its report is made from the journal afterwards."""
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        begun = Run(url, folder, *CHAT, "--concurrency", "8", "--benchmark-duration", "3600")
        begun.wait_until_sending()
        roles = list(begun.roles().values())
        os.kill(begun.process.pid, signal.SIGKILL)
        begun.wait()
        wait_until_gone(roles)
    begun.process.returncode = report(folder).returncode
    return begun


def _journal_cut(folder: Path) -> Run:
    """The last tenth of the records is lost, and the report made anew."""
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        begun = run(url, folder, *CHAT, "--concurrency", "8", "--request-count", "1000", *BOTH)
    records = folder / "journal" / "records.journal"
    with records.open("r+b") as file:
        file.truncate(records.stat().st_size * 9 // 10)
    begun.process.returncode = report(folder).returncode
    return begun


def _grace_too_short(folder: Path) -> Run:
    """One answer in five never comes, so that soon all eight slots wait for one."""
    with mock_server("--ttft-ms", "20", "--faults", "hang=0.2") as url:
        load = ("--concurrency", "8", "--benchmark-duration", "5")
        return run(url, folder, *CHAT, *load, "--benchmark-grace-period", "0.1", *BOTH)


def _all_given_up(folder: Path) -> Run:
    with mock_server("--ttft-ms", "3600000") as url:
        flags = ("--request-cancellation-rate", "100", "--request-cancellation-delay", "0.01")
        return run(url, folder, *CHAT, "--concurrency", "8", "--request-count", "120", *flags)


RAISE = "--concurrency held sends back. Raise --concurrency, or ask for less load."
LOWER = "Lower it, or raise --request-cancellation-delay above the latency."
SUSPECT, INVALID = ("SUSPECT",), ("INVALID",)
KILLED = r"died during the run \(.*SIGKILL.*\)"
CASES = {
    "client_cpu": [
        Case(_client_cpu, SUSPECT + INVALID, r"Worker 0 used [\d.]+ % of a core and waited", 1)
    ],
    "send_lag": [
        Case(_some_sent_late, SUSPECT, r"1 % of the requests left more than [\d.]+ ms late", 1),
        Case(_most_sent_late, INVALID, r"Half of the requests left more than [\d.]+ ms late", 1),
    ],
    "coalesced_stamps": [Case(_coalesced, SUSPECT, r"of 960 chunks .* allowed 1 %", 1)],
    "rate_missed": [
        Case(_rate_missed, INVALID, r"sent \d?\d(\.\d+)? requests/s of 100 asked for", 1, RAISE)
    ],
    "worker_lost": [Case(_killed("worker", "--workers", "2"), INVALID, f"worker_.* {KILLED}", 1)],
    "service_lost": [
        Case(_killed("records_manager"), INVALID, f"records_manager_.* {KILLED}", 1),
        Case(_killed("worker_manager"), SUSPECT, f"worker_manager_.* {KILLED}.* are whole", 0),
    ],
    "ended_early": [Case(_killed("timing_manager"), SUSPECT, "could not go on", 1)],
    "clock_stepped": [Case(_clock_stepped, SUSPECT, r"was set (once|\d+ times) during the run", 1)],
    "token_mismatch": [Case(_token_mismatch, SUSPECT, r"120 of 120 answers \(100 %\)", 1)],
    "too_few_samples": [Case(_too_few, SUSPECT, "40 successful requests; .* at least 100", 1)],
    "high_error_rate": [
        Case(_failing("0.1", *BOTH), SUSPECT, r"of 200 requests failed .* http_status 500", 1),
        Case(_failing("0.8"), INVALID, r"of 200 requests failed .* http_status 500", 1),
    ],
    "all_failed": [
        Case(_failing("1"), INVALID, "None of 200 requests .* 200 failed, most with http_stat", 1),
        Case(_gone_after_the_preflight, INVALID, "20 failed, most with connect", 1),
    ],
    "all_cancelled": [
        Case(_all_given_up, INVALID, "None of 120 requests .*cancellation-rate asked for", 1, LOWER)
    ],
    "cancelled_by_user": [Case(_stopped_by_a_person, SUSPECT, "A person stopped the run", 130)],
    "no_records": [Case(_stopped_while_it_warms_up, INVALID, "No request of a profiling", 130)],
    "interrupted": [Case(_controller_killed, SUSPECT, "the run was killed", 0)],
    "journal_damaged": [Case(_journal_cut, SUSPECT, r"records\.journal", 1)],
    "phase_timeout": [Case(_grace_too_short, SUSPECT, "with 8 requests in flight", 1)],
}


@pytest.mark.parametrize(
    ("code", "case"), [(code, case) for code, cases in CASES.items() for case in cases]
)
def test_a_fault_is_named_with_what_was_found_and_what_to_do(tmp_path, code, case):
    ended = case.provoke(tmp_path)
    verdict = ended.summary["verdict"]
    found = {cause["code"]: cause for cause in verdict["causes"]}
    assert code in found, (verdict, ended.err)
    assert found[code]["status"] in case.statuses
    assert re.search(case.message, found[code]["message"]), found[code]["message"]
    assert found[code]["message"].endswith(case.next_step or CAUSES[code].next_step)
    worst = "INVALID" if any(c["status"] == "INVALID" for c in found.values()) else "SUSPECT"
    assert verdict["status"] == worst
    assert verdict["causes"][0]["status"] == worst
    # Where the fault itself is no failure, a machine that is too busy makes it one.
    expected = case.exit_code or int(worst == "INVALID")
    assert ended.process.returncode == expected, (verdict, ended.err)


def test_no_cause_is_left_out():
    assert set(CASES) == set(CAUSES)


def test_a_run_without_a_fault_is_valid_and_passes_whatever_is_asked(tmp_path):
    """No cause, exit code 0; a machine that is busy with something else has ten tries."""
    with mock_server("--ttft-ms", "300", "--itl-ms", "20") as url:
        for attempt in range(10):
            load = ("--concurrency", "24", "--request-count", "120", *BOTH)
            ended = run(url, tmp_path / str(attempt), *CHAT, *load)
            if ended.summary["verdict"]["status"] == "VALID":
                break
    assert ended.summary["verdict"] == {"status": "VALID", "causes": []}
    assert ended.process.returncode == 0, ended.err
    assert report(ended.folder).returncode == 0
    assert "Verdict: VALID" in ended.out


@pytest.mark.parametrize("fail_on", ["", "INVALID", "SUSPECT", "SUSPECT,INVALID"])
def test_the_exit_code_is_1_for_the_verdicts_named_and_worse_ones(tmp_path, fail_on):
    """A report made anew keeps to what its run was told."""
    for status, fail_rate in (("SUSPECT", "0"), ("INVALID", "1")):
        ended = _small(tmp_path / status, fail_rate, "--fail-on", fail_on)
        assert ended.summary["verdict"]["status"] == status, ended.causes()
        expected = int("SUSPECT" in fail_on if status == "SUSPECT" else bool(fail_on))
        assert ended.process.returncode == expected, ended.err
        again = report(ended.folder)
        assert again.returncode == expected, again.stderr


def _small(folder: Path, fail_rate: str, *flags: str) -> Run:
    """Twenty requests, of which all or none fail."""
    with mock_server("--ttft-ms", "50", "--itl-ms", "5", "--fail-rate", fail_rate) as url:
        return run(url, folder, *CHAT, "--concurrency", "2", "--request-count", "20", *flags)
