"""Whatever is killed, the run is written down and the summary says what was lost."""

import json
import os
import signal
import subprocess
import time
import urllib.request

import psutil
import pytest
from acceptance_runs import ROLES, STEELYARD, Run, mock_server, report, wait_until_gone

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow]

LOAD = ("--endpoint-type", "chat", "--streaming", "--isl", "20", "--osl", "8", "--concurrency", "8")
END_THE_RUN = ("timing_manager", "records_manager")
"""Roles without which a run can't go on; where another one is lost, Ctrl-C ends it here."""


@pytest.fixture(scope="module")
def server():
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        yield url


def test_each_role_is_a_titled_process(server, tmp_path):
    """`pgrep -a steelyard` shows the controller and every role by name."""
    run = Run(server, tmp_path, *LOAD, "--benchmark-duration", "60", "--workers", "2")
    run.wait_until_sending()
    titles = [name.rpartition("_")[0] for name in run.roles()]
    assert sorted(titles) == sorted([*ROLES, "worker"])
    controller = " ".join(psutil.Process(run.process.pid).cmdline())
    assert controller.startswith("steelyard system_controller_")
    assert run.stop() == 130, run.err


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_is_named_and_the_run_ends_with_a_summary(server, tmp_path, role):
    """SIGKILL one role in mid-run: noticed, named by the verdict, files written."""
    run = Run(server, tmp_path, *LOAD, "--benchmark-duration", "90", "--workers", "2")
    run.wait_until_sending()
    os.kill(run.role_pid(role), signal.SIGKILL)
    run.wait_until_lost()
    code = run.wait() if role in END_THE_RUN else run.stop()
    assert code == (1 if role in END_THE_RUN else 130), run.err
    named = {code: text for code, text in run.causes().items() if code.endswith("_lost")}
    assert named, run.causes()
    assert any(role in text for text in named.values()), named
    assert run.summary["metrics"]["request_count"]["avg"] > 0
    assert len(run.rows) >= run.summary["metrics"]["request_count"]["avg"]
    events = (tmp_path / "journal" / "controller.journal").read_bytes()
    assert b"bench.service.lost" in events


def test_a_lost_worker_leaves_its_unsent_indices_to_the_others(server, tmp_path):
    """Of 3,000 indices none is sent twice; only those in flight at the kill are missing."""
    flags = ("--request-count", "3000", "--workers", "2")
    run = Run(server, tmp_path, *LOAD, *flags)
    run.wait_until_sending()
    os.kill(run.role_pid("worker"), signal.SIGKILL)
    assert run.wait(60) in {0, 1}, run.err
    indices = [row["schedule_index"] for row in run.rows]
    assert len(indices) == len(set(indices))
    lost = 3000 - len(indices)
    phase = run.summary["phases"][0]
    assert phase["sent"] == 3000
    assert 0 < lost < 1000
    assert "worker_lost" in run.causes()


def test_killing_the_controller_leaves_a_run_that_reports(server, tmp_path):
    """`kill -9` of the controller: no role survives it, and `report` writes every output."""
    run = Run(server, tmp_path, *LOAD, "--benchmark-duration", "90")
    run.wait_until_sending()
    pids = list(run.roles().values())
    os.kill(run.process.pid, signal.SIGKILL)
    run.wait()
    wait_until_gone(pids)
    assert not (tmp_path / "profile_export.json").exists()
    done = report(tmp_path)
    assert done.returncode in {0, 1}, done.stderr
    assert run.summary["run"]["status"] == "interrupted"
    assert "interrupted" in run.causes()
    assert run.summary["metrics"]["request_count"]["avg"] == len(run.rows) > 0
    for name in ("profile_export.csv", "profile_export.parquet"):
        assert (tmp_path / name).stat().st_size > 0


def test_a_torn_journal_reports_what_is_whole(server, tmp_path):
    """A cut in the last frame costs that frame and is named."""
    run = Run(server, tmp_path, *LOAD, "--request-count", "2000")
    assert run.wait() in {0, 1}
    before = len(run.rows)
    records = tmp_path / "journal" / "records.journal"
    with records.open("r+b") as file:
        file.truncate(records.stat().st_size * 2 // 3)
    assert report(tmp_path).returncode in {0, 1}
    assert 0 < len(run.rows) < before
    assert "records.journal" in json.dumps(run.summary)


def test_control_c_drains_and_writes(server, tmp_path):
    """SIGINT: nothing new is sent, what is in flight finishes, exit code 130, files written."""
    run = Run(server, tmp_path, *LOAD, "--benchmark-duration", "3600")
    run.wait_until_sending()
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.wait(60) == 130, run.err
    assert run.summary["run"]["status"] == "cancelled"
    assert run.summary["metrics"]["cancelled_request_count"]["avg"] == 0
    assert run.summary["metrics"]["request_count"]["avg"] == len(run.rows) > 0
    assert "Traceback" not in run.err


def requests_running(url):
    """Return how many requests the simulated server has under way."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as page:
        lines = page.read().decode().splitlines()
    (found,) = (line for line in lines if line.startswith("steelyard_mock_requests_running "))
    return int(found.split()[1])


def wait_until(condition, what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def test_control_c_twice_cancels_what_is_in_flight(tmp_path):
    """A server that answers in an hour keeps nobody waiting."""
    with mock_server("--ttft-ms", "3600000") as url:
        run = Run(url, tmp_path, *LOAD, "--benchmark-duration", "3600")
        journal = tmp_path / "journal" / "controller.journal"
        wait_until(lambda: requests_running(url) == 8, "eight requests are in flight")
        os.kill(run.process.pid, signal.SIGINT)
        told = b"bench.phase.sending_complete"
        wait_until(lambda: told in journal.read_bytes(), "the first Ctrl-C is heard")
        os.kill(run.process.pid, signal.SIGINT)
        assert run.wait(60) == 130, run.err
    assert {row["error_kind"] for row in run.rows} == {"cancelled"}


def test_a_stopped_role_is_noticed(server, tmp_path):
    """SIGSTOP is no death, but no heartbeat either: the role is given up and named."""
    run = Run(server, tmp_path, *LOAD, "--benchmark-duration", "90", "--workers", "2")
    run.wait_until_sending()
    os.kill(run.role_pid("worker"), signal.SIGSTOP)
    run.wait_until_lost()
    assert run.stop() == 130, run.err
    assert "worker_lost" in run.causes()


def test_a_directory_belongs_to_one_run_at_a_time(server, tmp_path):
    """A second run, or a report, in the folder of a live one is refused and disturbs nothing."""
    first = Run(server, tmp_path, *LOAD, "--benchmark-duration", "3600")
    first.wait_until_sending()
    second = Run(server, tmp_path, *LOAD, "--request-count", "20")
    assert second.wait() == 2
    assert "A run is under way" in second.err
    early = report(tmp_path)
    assert early.returncode == 2, early.stdout
    assert first.process.poll() is None
    assert first.stop() == 130, first.err
    assert first.causes().keys() & {"journal_damaged", "service_lost", "worker_lost"} == set()
    indices = [row["schedule_index"] for row in first.rows]
    assert sorted(indices) == list(range(len(indices)))
    assert report(tmp_path).returncode in {0, 1}


@pytest.mark.parametrize("run_type", ["process", "inline"])
@pytest.mark.parametrize("whom", ["controller", "group"])
def test_a_report_can_be_given_up(tmp_path, run_type, whom):
    """SIGTERM while thousands of slices are written: no waiting, nothing half left, said how to."""
    slices = ("--slice-duration", "0.0004", "--streaming", "--osl", "2", "--run-type", run_type)
    run = Run("", tmp_path, "--concurrency", "4", "--request-count", "6000", *slices)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob(".profile_export_timeslices.*")):
        assert time.monotonic() < deadline
        assert run.process.poll() is None, run.wait()
        time.sleep(0.01)
    (os.killpg if whom == "group" else os.kill)(run.process.pid, signal.SIGTERM)
    assert run.wait(60) == 130, run.err
    assert not list(tmp_path.glob("profile_export_timeslices.*")), "it waited for all of them"
    assert f"steelyard report {tmp_path}" in run.err
    assert not list(tmp_path.glob(".*")), list(tmp_path.glob(".*"))
    log = (tmp_path / "logs" / "steelyard.log").read_text()
    assert "IllegalTransitionError" not in log
    assert "Traceback" not in log + run.err
    again = subprocess.Popen(
        [*STEELYARD, "report", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not list(tmp_path.glob(".profile_export_timeslices.*")) and again.poll() is None:
        time.sleep(0.01)
    again.send_signal(signal.SIGTERM)
    _, said = again.communicate(timeout=60)
    assert again.returncode == 130
    assert f"steelyard report {tmp_path}" in said.decode()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [".", ".board", "logs/steelyard.log"])
def test_a_signal_while_a_run_starts_ends_it(server, tmp_path, step, number):
    """At whichever step, in the middle of the forks too: it says so and leaves nothing behind."""
    folder = tmp_path / "run"
    run = Run(server, folder, "--concurrency", "2", "--benchmark-duration", "3600")
    while not (folder / step).exists():
        assert run.process.poll() is None, run.wait()
        time.sleep(0.002)
    os.kill(run.process.pid, number)
    assert run.wait(60) == 130, run.err
    assert run.err in ("Interrupted.\n", "")
    assert not list(folder.glob(".*")), list(folder.glob(".*"))
