"""Workers that join a run over tcp: the same requests, one time, and a known loss.

They are processes of this machine. Those in a time namespace have a CLOCK_MONOTONIC that is hours
from the controller's, as on a machine that was booted at another time; those in a UTS namespace
have a host name of their own.
"""

import csv
import os
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from acceptance_runs import mock_server
from acceptance_runs import run as acceptance_run
from remote_runs import WorkerProcess, joined, remote_run
from schedule_hash import KeepingServer, intended_offsets_ns, schedule_hash

from steelyard.domain.bench.records import RECORD_DTYPE, TIME_COLUMNS
from steelyard.runtime.bus_wire import CurveKeys
from steelyard.runtime.journal_reader import JournalReader

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.slow, pytest.mark.real_time]

AWAY_S = 12_345
STAMP_NS = 200_000
"""What kernel stamps and the wall clock's offset are off by, on a busy machine."""
ELSEWHEN = ("unshare", "--time", "--monotonic", str(AWAY_S), "--fork", "--kill-child")


def elsewhere(name):
    """Return words before a command that give it a host name of its own."""
    return ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "x")


def _may_unshare():
    words = [*ELSEWHEN, *elsewhere("a"), "true"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    not _may_unshare(), reason="time and UTS namespaces can't be made here (they take root)"
)


@pytest.fixture(scope="module")
def server():
    with mock_server("--ttft-ms", "5", "--itl-ms", "1") as url:
        yield url


def finished(run, workers, *, codes=(0, 1)):
    """Wait for the run and its workers, which end with it."""
    assert run.wait() in codes, run.err
    assert [worker.end() for worker in workers] == [(0, "")] * len(workers)


def test_one_remote_worker_or_four_send_the_same_bytes_at_the_same_intended_times(tmp_path):
    """The hash of places, intended times and bytes does not tell who sent them from where."""
    hashes = {}
    with KeepingServer(1, pause_s=0.002) as server:
        flags = ("-m", "a,b", "--num-sessions", "90", "--random-seed", "7", "--isl", "30",
                 "--exporters", "json,jsonl", "--request-rate", "150",
                 "--arrival-pattern", "poisson")  # fmt: skip
        for workers in (0, 1, 4):
            folder = tmp_path / str(workers)
            run = sent(server.urls[0], folder, workers, *flags)
            offsets = intended_offsets_ns(run)
            hashes[workers] = schedule_hash(server.taken(), offsets)
            sys.stdout.write(f"\n{workers} remote workers: sha256 {hashes[workers]}")
            assert {row["worker_id"] for row in run.rows} == set(range(max(workers, 1)))
            assert len(offsets) == 90
    assert len(set(hashes.values())) == 1


def sent(url, folder, workers, *flags):
    """Return a run of so many remote workers, or of one that is forked."""
    if not workers:
        return acceptance_run(url, folder, *flags)
    with (
        remote_run(url, folder, workers, *flags) as (run, join),
        joined(join, [()] * workers) as processes,
    ):
        finished(run, processes)
    return run


@needs_namespaces
def test_a_worker_on_another_clock_tells_the_same_times(tmp_path):
    """Two workers, hours apart by their clocks: both agree with the server on each request.

    The server's own log says on the controller's clock when a request arrived and when its answer
    left. Nothing arrives before it was sent or is received before it left, to within the bound.
    """
    flags = ("--request-rate", "200", "--request-count", "400", "--export-level", "records",
             "--streaming", "--osl", "4")  # fmt: skip
    log, folder = tmp_path / "truth.csv", tmp_path / "run"
    with (
        mock_server("--ttft-ms", "5", "--itl-ms", "1", "--truth-log", str(log)) as server,
        remote_run(server, folder, 2, *flags) as (run, join),
        joined(join, [(), ELSEWHEN]) as workers,
    ):
        finished(run, workers)
    (host,) = run.summary["hosts"]
    here, away = host["workers"]
    assert (here["clock"], here["clock_offset_ns"], here["clock_offset_bound_us"]) == ("same", 0, 0)
    bound_ns = 1000 * away["clock_offset_bound_us"]
    assert away["clock"] == "measured"
    assert 0 < bound_ns < 1e9
    # The namespace's clock is ahead by exactly that.
    assert abs(away["clock_offset_ns"] + AWAY_S * 10**9) <= bound_ns
    with log.open(newline="") as file:
        truth = {row["x_request_id"]: row for row in csv.DictReader(file)}
    for number, slack_ns in ((0, STAMP_NS), (1, STAMP_NS + bound_ns)):
        there, back = _ways_ns([r for r in run.rows if r["worker_id"] == number], truth)
        sys.stdout.write(f"\nworker {number}: shortest ways {there} and {back} ns of {slack_ns}")
        assert min(there, back) > -slack_ns
        # As they are some tens of microseconds, the offset is right to about that.
        assert max(there, back) < bound_ns + 50e6
    assert len(set(intended_offsets_ns(run).values())) == 400
    _all_within(folder, run)
    _says_what_the_offset_means(run, bound_ns)


def _ways_ns(rows, truth):
    """Return the shortest time from send to arrival, and from the answer's start to its stamp."""
    assert len(rows) > 100
    there = [int(truth[r["x_request_id"]]["received_ns"]) - r["start_ns"] for r in rows]
    back = [r["first_token_ns"] - int(truth[r["x_request_id"]]["first_send_ns"]) for r in rows]
    return min(there), min(back)


def _says_what_the_offset_means(run, bound_ns):
    """The bound is in the error of what compares two clocks, and in nothing else."""
    lag = run.summary["metrics"]["schedule_lag"]
    assert lag["error_bar_source"] == "clock"
    assert lag["error_bar"] == pytest.approx(bound_ns / 1e6)
    first_token = run.summary["metrics"]["time_to_first_token"]
    assert first_token["error_bar_source"] in {"stamps", "calibration"}
    notes = " ".join(run.summary["run"]["notes"])
    assert "needs no offset" in notes
    assert "bucket for bucket that of the journal's 400" in notes


def _all_within(folder, run):
    """Every time of every record and chunk lies within the run, on the controller's clock."""
    batches = list(JournalReader(folder / "journal").record_batches())
    phase = run.summary["phases"][0]
    low, high = phase["first_start_ns"] - 60 * 10**9, phase["last_end_ns"] + 10**9
    assert high - low < 1000 * 10**9
    for batch in batches:
        records = np.frombuffer(batch.data, RECORD_DTYPE)
        for name in TIME_COLUMNS:
            known = records[name][records[name] != -1]
            assert ((known > low) & (known < high)).all(), name


@needs_namespaces
def test_a_killed_worker_is_named_with_its_machine_and_sends_nothing_twice(tmp_path):
    """SIGKILL one of three: the others take over what it had not sent, and no place twice."""
    # It is killed amid the run: until then no more than that is answered.
    with KeepingServer(1, pause_s=0.02, answers=200) as server:
        flags = ("--request-count", "600", "--concurrency", "9", "--isl", "20")
        with remote_run(server.urls[0], tmp_path, 3, *flags) as (run, join):
            befores = [elsewhere(f"box{number}") for number in range(3)]
            with joined(join, befores) as workers:
                run.wait_until_sending()
                os.kill(workers[1].role_pid(), signal.SIGKILL)
                server.go_on()
                assert run.wait() == 1, run.err
                code, out = workers[1].end()
                assert (code, "The worker's files are in" in out) == (1, True)
                assert [workers[n].end() for n in (0, 2)] == [(0, "")] * 2
        taken = server.taken()  # which refuses a place that was sent twice
    name = join.service_ids[1]
    assert f"{name} on box1 died during the run (killed by SIGKILL)" in run.causes()["worker_lost"]
    assert {place.number for place in taken} == set(range(600))
    assert 0 < 600 - len(run.rows) < 300
    assert [w["lost"] for host in run.summary["hosts"] for w in host["workers"]] == [
        False, True, False,
    ]  # fmt: skip
    assert {row["host_id"].split("-")[0] for row in run.rows} == {"box0", "box1", "box2"}


def refused(join, *flags, timeout_s=90):
    """Return exit code and output of a worker that should not get in."""
    worker = WorkerProcess(join, *flags)
    try:
        code, out = worker.end(timeout_s)
    finally:
        worker.kill()
    assert "Traceback" not in out
    for secret in (join.client_secret, join.encode()) if join is not None else ():
        assert secret not in out
    return code, out


def changed(join, **fields):
    """Return a join that differs in some fields."""
    return msgspec.structs.replace(join, **fields)


def test_who_has_not_this_runs_join_gets_nowhere(server, tmp_path):
    """Others' keys, another version, a seat that is taken and a run that is over are told apart.

    Nothing of it harms the run, which a person ends then: requests in flight are answered.
    """
    flags = ("--request-rate", "50", "--benchmark-duration", "3600")
    with remote_run(server, tmp_path, 2, *flags) as (run, join):
        mine = join.for_worker(1)
        keys = CurveKeys.generate()
        theirs = changed(
            mine,
            client_public=keys.client_public.decode(),
            client_secret=keys.client_secret.decode(),
        )
        code, out = refused(theirs)
        assert (code, "did not let this worker in" in out) == (4, True), out
        code, out = refused(changed(mine, version="0.0.1"))
        assert (code, "another version" in out) == (2, True), out
        with joined(join, [(), ()]) as workers:
            run.wait_until_sending()
            code, out = refused(mine)
            assert (code, "is there already" in out) == (2, True), out
            run.process.send_signal(signal.SIGINT)
            finished(run, workers, codes=(130,))
    code, out = refused(mine)
    assert (code, "Nobody listens" in out) == (4, True), out
    assert run.summary["run"]["status"] == "cancelled"
    assert run.summary["metrics"]["error_request_count"]["avg"] == 0
    assert not (tmp_path / "worker.join").exists()


def test_a_worker_needs_neither_the_key_nor_the_file_on_its_machine(tmp_path):
    """Secret, data set and its schedule come over the bus; the secret into no log and no file."""
    key = "sk-test-0123456789abcdef"
    trace = tmp_path / "trace.jsonl"
    lines = [f'{{"input_length": {5 + n % 3}, "timestamp": {100 + 10 * (n * 7 % 40)}}}\n'
             for n in range(40)]  # fmt: skip
    trace.write_text("".join(lines))
    scratch = tmp_path / "scratch"
    flags = ("--input-file", str(trace), "--fixed-schedule", "--exporters", "json,jsonl",
             "--api-key", key, "--log-level", "DEBUG")  # fmt: skip
    with KeepingServer(1) as server:
        with remote_run(server.urls[0], tmp_path / "run", 1, *flags) as (run, join):
            worker = WorkerProcess(join.for_worker(0), "--scratch", str(scratch))
            try:
                finished(run, [worker])
            finally:
                worker.kill()
        taken = server.taken()
    assert len(taken) == 40
    assert all(f"authorization: bearer {key}" in text.decode().lower() for text in taken.values())
    assert sorted(intended_offsets_ns(run).values()) == [10_000_000 * n for n in range(40)]
    words = [key, join.client_secret, join.encode()]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.name == "steelyard.log"]) == 2
    for path in files:
        text = path.read_bytes()
        assert not [word for word in words if word.encode() in text], path
