"""What the HTTP client promises, seen from outside: whole runs against servers that misbehave."""

import contextlib
import csv
import json
import socket
import threading
from collections import Counter
from itertools import takewhile

import pytest
from acceptance_runs import mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

FLAGS = ("--endpoint-type", "chat", "--isl", "12", "--osl", "6", "--streaming", "--fail-on", "")
KINDS = {
    "error": "http_status", "reset": "reset", "truncated": "truncated", "malformed": "malformed",
    "error-event": "server_error", "empty": "empty", "garbage": "protocol",
}  # fmt: skip


def faults_by_id(log):
    with log.open(newline="") as file:
        return {row["x_request_id"]: row["fault"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("workers", ["1", "3"])
def test_each_fault_is_a_record_of_its_kind_and_no_latency(tmp_path, workers):
    """Row by row what the server did to that request; the latencies are of the others only."""
    log = tmp_path / "truth.csv"
    shares = ",".join(f"{name}=0.07" for name in KINDS) + ",split=0.5"
    with mock_server("--ttft-ms", "2", "--faults", shares, "--truth-log", str(log)) as url:
        done = run(
            url, tmp_path / "run", *FLAGS, "--concurrency", "8", "--request-count", "300",
            "--workers", workers,
        )  # fmt: skip
    assert len(done.rows) == 300, done.err
    truth = faults_by_id(log)
    expected = Counter()
    for row in done.rows:
        kind = KINDS.get(truth[row["x_request_id"]].partition("+")[0], "none")
        assert row["error_kind"] == kind, (row, truth[row["x_request_id"]])
        expected[kind] += 1
    metrics, good = done.summary["metrics"], expected.pop("none")
    assert set(expected) == set(KINDS.values()), "every fault was met"
    assert metrics["request_count"]["avg"] == good
    assert metrics["error_request_count"]["avg"] == 300 - good
    assert {m["count"] for t, m in metrics.items() if t == "request_latency"} == {good}
    assert {e["kind"]: e["count"] for e in done.summary["errors"]} == dict(expected)


@pytest.mark.parametrize(
    ("fault", "flag", "kind", "seen", "allowed_s"),
    [
        ("hang", "--first-byte-timeout-seconds", "timeout_first_byte", 0, 0.3),
        ("stall", "--idle-timeout-seconds", "timeout_idle", 3, 5),
        ("hang", "--request-timeout-seconds", "timeout_request", 0, 0.3),
        ("stall", "--request-timeout-seconds", "timeout_request", 3, 5),
    ],
)
def test_a_server_that_falls_silent_costs_the_time_allowed(
    tmp_path, fault, flag, kind, seen, allowed_s
):
    """And the tokens that came before it are in the row."""
    with mock_server("--faults", f"{fault}=1", "--tokens", "6") as url:
        load = ("--concurrency", "4", "--request-count", "4", flag, str(allowed_s))
        done = run(url, tmp_path, *FLAGS, *load)
    assert [row["error_kind"] for row in done.rows] == [kind] * 4, done.err
    for row in done.rows:
        assert row["end_ns"] - row["start_ns"] >= allowed_s * 1e9
        assert row["chunks"] == seen


def test_a_server_that_takes_no_connection_costs_the_time_to_connect(tmp_path):
    """Its queue is full, so its system answers no one; the other server's requests go on."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        with mock_server() as url:
            done = run(
                "", tmp_path, *FLAGS, "-u", f"{url},http://{host}:{port}", "--concurrency", "12",
                "--request-count", "12", "--connect-timeout-seconds", "6",
            )  # fmt: skip
    kinds = Counter((row["endpoint_url"] == url, row["error_kind"]) for row in done.rows)
    assert kinds == {(True, "none"): 6, (False, "timeout_connect"): 6}, done.err
    for row in done.rows:
        assert (row["start_ns"] is None) is (row["error_kind"] != "none")


def test_connections_are_used_again_as_asked(tmp_path):
    """Pooled: one each for what is under way; never: one a request; sticky: one a session."""
    prompts = tmp_path / "talks.jsonl"
    talk = {"turns": ["one", "two", "three"]}
    lines = [json.dumps({**talk, "session_id": str(number)}) for number in range(6)]
    prompts.write_text("\n".join(lines))
    common = (*FLAGS[:2], "--streaming", "--fail-on", "", "--concurrency", "2",
              "--input-file", str(prompts), "--custom-dataset-type", "multi_turn",
              "--request-count", "18")  # fmt: skip
    rows = {}
    with mock_server("--tokens", "4") as url:
        for mode in ("pooled", "never", "sticky-user-sessions"):
            done = run(url, tmp_path / mode, *common, "--connection-reuse-strategy", mode)
            rows[mode] = done.rows
            assert [row["error_kind"] for row in done.rows] == ["none"] * 18, done.err
    assert len({row["conn_id"] for row in rows["pooled"]}) == 2
    assert len({row["conn_id"] for row in rows["never"]}) == 18
    assert not any(row["conn_reused"] for row in rows["never"])
    sessions = {}
    for row in rows["sticky-user-sessions"]:
        sessions.setdefault(row["session_id"], set()).add(row["conn_id"])
    assert {len(ids) for ids in sessions.values()} == {1}
    assert len(set.union(*sessions.values())) == len(sessions) >= 6


class Impatient:
    """Answers each connection's first request, reads its second and closes without a word."""

    def __init__(self):
        self.seen = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection):
        body = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'
        with connection, connection.makefile("rb") as reader:
            for answers in (True, False):
                lines = list(takewhile(lambda line: line.strip(), iter(reader.readline, b"")))
                if not lines:
                    return  # the client closed
                fields = dict(line.rstrip().split(b": ", 1) for line in lines[1:])
                reader.read(int(fields[b"Content-Length"]))
                self.seen.append(fields[b"X-Request-ID"].decode())
                if answers:
                    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
                    connection.sendall(head + body)


def test_a_request_that_met_a_closed_connection_goes_out_once_more(tmp_path):
    """The server saw both attempts; the run counts one request, which succeeded."""
    server = Impatient()
    try:
        done = run(server.url, tmp_path, *FLAGS, "--concurrency", "1", "--request-count", "20")
    finally:
        server.close()
    assert [row["error_kind"] for row in done.rows] == ["none"] * 20, done.err
    attempts = [row["attempt"] for row in sorted(done.rows, key=lambda r: r["schedule_index"])]
    assert attempts == [0] + [1] * 19
    ids = {row["x_request_id"] for row in done.rows}
    again = {name.removesuffix("-1") + "-0" for name in ids if name.endswith("-1")}
    assert sorted(server.seen) == sorted(ids | again)
    metrics = {tag: metric["avg"] for tag, metric in done.summary["metrics"].items()}
    assert metrics["request_count"] == 20
    assert metrics["error_request_count"] == 0
    assert metrics["http_req_retried"] == 19
