"""One worker or eight: the same requests, byte for byte, meant for the same times.

The hashes are printed; `pytest -s` shows them.
"""

import json
import sys

import pytest
from acceptance_runs import run
from schedule_hash import KeepingServer, Place, intended_offsets_ns, schedule_hash

pytestmark = pytest.mark.real_time

WORKERS = (1, 2, 8)
SESSIONS = 90


@pytest.fixture(scope="module")
def conversations(tmp_path_factory):
    """A file of thirty conversations of one to four turns, some with delays and models."""
    path = tmp_path_factory.mktemp("input") / "conversations.jsonl"
    lines = []
    for number in range(30):
        turns = [{"text": f"question {number}.{turn}", "max_tokens": 1 + turn}
                 for turn in range(1 + number % 4)]  # fmt: skip
        if number % 3 == 0:
            turns[-1]["delay"] = 15
        if number % 7 == 0:
            turns[0]["system"] = "Be brief."
        lines.append(json.dumps({"session_id": f"s{number}", "turns": turns}))
    path.write_text("\n".join(lines))
    return path


def sent_by(workers, folder, file, *flags, later_turns=False):
    """Return the requests of a run in processes and when they were meant, from a fresh server."""
    result = run(
        "", folder, "--input-file", str(file), "--workers", str(workers), "--run-type", "process",
        "--exporters", "json,jsonl", "--random-seed", "7", *flags,
    )  # fmt: skip
    assert not [row for row in result.rows if row["status"] != 200], result.out
    offsets = intended_offsets_ns(result, later_turns=later_turns)
    return offsets, result


def show(name, workers, requests, found):
    """Print a run's hash, for `pytest -s`."""
    sys.stdout.write(f"\n{name}, {workers} workers, {requests} requests: sha256 {found}")


OPEN = (
    "--request-rate", "60", "--request-rate-ramp-duration", "0.8",
    "--arrival-pattern", "poisson", "--url-strategy", "random",
)  # fmt: skip
CLOSED = ("--concurrency", "8", "--concurrency-ramp-duration", "0.3")


@pytest.mark.parametrize(("name", "flags"), [("open loop", OPEN), ("closed loop", CLOSED)])
def test_the_number_of_workers_changes_no_request_and_no_intended_time(
    tmp_path, conversations, name, flags
):
    """In a closed loop an intended time is that of an answer: there only the bytes are compared."""
    hashes, firsts = {}, {}
    with KeepingServer(2, pause_s=0.002) as server:
        more = ("-m", "a,b,c", "--num-sessions", str(SESSIONS),
                "--dataset-sampling-strategy", "shuffle",
                *(word for url in server.urls for word in ("--url", url)), *flags)  # fmt: skip
        for workers in WORKERS:
            offsets, done = sent_by(workers, tmp_path / str(workers), conversations, *more)
            requests = server.taken()
            if name == "closed loop":
                offsets = {}
            firsts[workers] = (requests, offsets)
            hashes[workers] = schedule_hash(requests, offsets)
            show(name, workers, len(requests), hashes[workers])
            assert {row["worker_id"] for row in done.rows} == set(range(workers))
    requests, offsets = firsts[1]
    assert {place.number for place in requests} == set(range(SESSIONS))
    assert len(requests) > 2 * SESSIONS
    for workers in WORKERS[1:]:
        assert firsts[workers] == firsts[1]
    assert len(set(hashes.values())) == 1


TRACE = "".join(
    json.dumps({"input_length": 5 + n % 3, "timestamp": 5_000 + 20 * (n * 7 % 40)}) + "\n"
    for n in range(40)
) + "".join(
    json.dumps({"input_length": 4, "timestamp": at, "session_id": "s"}) + "\n"
    for at in (5_150, 5_550.5, 5_601)
)


def test_a_replay_is_the_same_whoever_sends_it(tmp_path):
    """Each line at its own time after the beginning of the window, whatever the file's order.

    So are the turns of a conversation, up to the end of the window.
    """
    file = tmp_path / "trace.jsonl"
    file.write_text(TRACE)
    hashes = set()
    with KeepingServer(1) as server:
        for workers in WORKERS:
            offsets, done = sent_by(
                workers, tmp_path / str(workers), file, "--url", server.urls[0],
                "--fixed-schedule-start-offset", "5100", "--fixed-schedule-end-offset", "5600",
                "-m", "m", later_turns=True,
            )  # fmt: skip
            after_first_ns = offsets.pop(Place(0, 3, 1)) - offsets[Place(0, 3, 0)]
            found = schedule_hash(server.taken(), offsets)
            show("replay", workers, len(offsets), found)
            hashes.add(found)
            assert not [place for place in offsets if place.turn]
            # At its own time, unless a busy machine has the answer before it come later.
            (answered,) = (r for r in done.rows if (r["schedule_index"], r["turn"]) == (3, 0))
            answer_ns = answered["end_ns"] - answered["intended_ns"]
            assert after_first_ns == max(400_500_000, answer_ns)
            assert offsets.pop(Place(0, 3, 0)) == 50_000_000
            assert sorted(offsets.values()) == [20_000_000 * n for n in range(26)]
    assert len(hashes) == 1


def test_the_hash_tells_a_byte_and_a_nanosecond():
    """So that its equality means something."""
    placed = {Place(0, 0, 0): b"GET / HTTP/1.1", Place(0, 1, 0): b"POST / HTTP/1.1"}
    times = {Place(0, 0, 0): 0, Place(0, 1, 0): 5}
    whole = schedule_hash(placed, times)
    assert schedule_hash(placed, times) == whole
    assert schedule_hash({**placed, Place(0, 1, 0): b"POST / HTTP/1.0"}, times) != whole
    assert schedule_hash(placed, {**times, Place(0, 1, 0): 6}) != whole
    assert schedule_hash({Place(0, 0, 0): placed[Place(0, 0, 0)]}, times) != whole
