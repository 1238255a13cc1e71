"""`--export-level`: what a run keeps beyond its rows is what the servers know to be true."""

import http.server
import json
import os
import signal
import threading

import duckdb
import pytest
from acceptance_runs import Run, mock_server, report, run

from steelyard.runtime.raw_spool import RAW_FOLDER

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

KEY = "sk-acceptance-0123456789"
TOKENS = 6
FLAGS = ("--streaming", "--isl", "12", "--osl", str(TOKENS), "--concurrency", "4")
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"caf\xc3\xa9"}}]}\r\n\r\n',
    b": still there\n\n",
    b'data: {"choices":[{"delta":{"content":" more"}}]}\n\ndata: [DONE]\n\n',
]


def chunks_of(folder):
    """Return profile_export_chunks.parquet: request id -> its chunks in order."""
    relation = duckdb.read_parquet(str(folder / "profile_export_chunks.parquet"))
    found = {}
    for row in relation.fetchall():
        chunk = dict(zip(relation.columns, row, strict=True))
        found.setdefault(chunk["x_request_id"], []).append(chunk)
    return found


def raw_of(folder):
    lines = (folder / "profile_export_raw.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def body_of(line):
    return "".join(piece.get("text", "") for piece in line["responses"])


@pytest.mark.parametrize("run_type", ["inline", "process"])
def test_chunk_stamps_hold_against_the_servers_truth(tmp_path, run_type):
    """In order, none before the server sent it, ends equal to the record's own columns."""
    log = tmp_path / "truth.csv"
    with mock_server("--ttft-ms", "10", "--itl-ms", "4", "--truth-log", str(log)) as url:
        done = run(
            url, tmp_path / "run", *FLAGS, "--request-count", "40", "--workers", "2",
            "--export-level", "records", "--run-type", run_type,
        )  # fmt: skip
    assert len(done.rows) == 40, done.err
    truth = {row[0]: row for row in duckdb.read_csv(str(log)).project(
        "x_request_id, first_send_ns, second_send_ns, last_send_ns"
    ).fetchall()}  # fmt: skip
    chunks = chunks_of(tmp_path / "run")
    assert set(chunks) == {row["x_request_id"] for row in done.rows} == set(truth)
    for row in done.rows:
        own = chunks[row["x_request_id"]]
        stamps = [chunk["stamp_ns"] for chunk in own]
        assert [chunk["chunk_index"] for chunk in own] == list(range(TOKENS))
        assert stamps == sorted(stamps)
        assert (stamps[0], stamps[1], stamps[-1]) == (
            row["first_token_ns"], row["second_token_ns"], row["last_token_ns"],
        )  # fmt: skip
        assert sum(chunk["coalesced"] for chunk in own) == (row["coalesced_events"] or 0)
        assert own[0]["stamp_lower_ns"] == row["stamp_lower_ns"]
        assert all(chunk["stamp_lower_ns"] < chunk["stamp_ns"] for chunk in own)
        assert {chunk["kind"] for chunk in own} == {"content"}
        assert {chunk["tokens"] for chunk in own} == {1}
        _, first_ns, second_ns, last_ns = truth[row["x_request_id"]]
        for stamp_ns, sent_ns in (
            (stamps[0], first_ns), (stamps[1], second_ns), (stamps[-1], last_ns)
        ):  # fmt: skip
            assert sent_ns <= stamp_ns < sent_ns + 60_000_000_000
        assert own[0]["stamp_lower_ns"] < first_ns, "the bound below it is below the truth"


def test_a_summary_run_leaves_none_of_it(tmp_path):
    """And no exporter is asked for what was not kept."""
    with mock_server() as url:
        done = run(url, tmp_path, *FLAGS, "--request-count", "10")
    assert len(done.rows) == 10
    names = {path.name for path in tmp_path.iterdir()}
    assert not names & {"profile_export_chunks.parquet", "profile_export_raw.jsonl", RAW_FOLDER}


class Recording(http.server.ThreadingHTTPServer):
    """Answers with `EVENTS` in chunks of their own and keeps the bodies it got by request id."""

    daemon_threads = True

    def __init__(self):
        self.bodies = {}
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        self.server.bodies[self.headers["X-Request-ID"]] = body
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Echo", self.headers["Authorization"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        whole = b"".join(EVENTS)
        cut = whole.index(b"\xc3") + 1  # between the bytes of one character
        for piece in (whole[:cut], whole[cut:]):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        """Be quiet."""


@pytest.fixture
def recording():
    with Recording() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_raw_is_what_the_server_saw_and_said_without_the_key(recording, tmp_path, monkeypatch):
    """Bodies byte for byte in both directions; the key is in no file of the run."""
    monkeypatch.setenv("STEELYARD_API_KEY", KEY)
    url = f"http://127.0.0.1:{recording.server_port}"
    done = run(
        url, tmp_path, *FLAGS, "--request-count", "20", "--workers", "2", "--export-level", "raw"
    )
    lines = raw_of(tmp_path)
    assert len(lines) == len(done.rows) == 20, done.err
    text = (tmp_path / "profile_export_raw.jsonl").read_bytes()
    rows = {row["x_request_id"]: row for row in done.rows}
    for line in lines:
        name = line["metadata"]["x_request_id"]
        assert recording.bodies[name] in text
        assert line["payload"] == json.loads(recording.bodies[name])
        assert body_of(line).encode() == b"".join(EVENTS)
        assert line["start_perf_ns"] == rows[name]["start_ns"]
        assert line["responses"][-1]["perf_ns"] <= rows[name]["end_ns"]
        assert "Authorization" not in line["request_headers"]
        assert line["response_headers"]["X-Echo"] == "Bearer <redacted>"
    assert not (tmp_path / RAW_FOLDER).exists()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_killed_run_is_finished_by_report(tmp_path):
    """Every request of the journal has its line and its chunks; a torn line is left out."""
    folder = tmp_path / "run"
    with mock_server("--ttft-ms", "2", "--itl-ms", "1") as url:
        going = Run(url, folder, *FLAGS, "--request-count", "100000", "--export-level", "raw")
        going.wait_until_sending()
        os.killpg(going.process.pid, signal.SIGKILL)
        going.wait()
    (spool,) = (folder / RAW_FOLDER).glob("*.jsonl")
    assert spool.stat().st_size > 0
    with spool.open("ab") as file:
        file.write(b'{"metadata":{"x_request_id":"torn')
    done = report(folder)
    assert done.returncode in {0, 1}, done.stderr
    lines = {line["metadata"]["x_request_id"] for line in raw_of(folder)}
    rows = {row["x_request_id"] for row in going.rows}
    assert rows
    assert rows <= lines
    assert {x["x_request_id"] for x in going.rows if x["chunks"]} == set(chunks_of(folder))
    again = report(folder)
    assert again.returncode == done.returncode, again.stderr
    assert {line["metadata"]["x_request_id"] for line in raw_of(folder)} == lines
