"""Whole runs against the simulated server: what was asked for is what happened."""

import csv
import itertools
import json

import duckdb
import pytest
from acceptance_runs import Run, mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

CHAT = ("--endpoint-type", "chat", "--isl", "20", "--osl", "8")


@pytest.fixture(scope="module")
def server():
    with mock_server("--ttft-ms", "10", "--itl-ms", "1") as url:
        yield url


@pytest.mark.parametrize("run_type", ["inline", "process"])
def test_every_file_tells_of_every_request(server, tmp_path, run_type):
    """JSON, CSV, JSONL and Parquet agree, and carry the tags and columns that others read."""
    flags = ("--streaming", "--concurrency", "4", "--request-count", "60", "--run-type", run_type)
    done = run(server, tmp_path, *CHAT, *flags)
    assert done.process.returncode in {0, 1}, done.err
    metrics = done.summary["metrics"]
    assert metrics["request_count"]["avg"] == 60
    assert metrics["time_to_first_token"]["unit"] == "ms"
    assert metrics["time_to_first_token"]["min"] >= 10
    # The server never sends early; a busy machine makes it late.
    assert 0.5 < metrics["inter_token_latency"]["p50"] < 10
    assert {row["output_tokens"] for row in done.rows} == {8}
    assert sorted(row["schedule_index"] for row in done.rows) == list(range(60))
    assert len({row["x_request_id"] for row in done.rows}) == 60
    parquet = str(tmp_path / "profile_export.parquet")
    with duckdb.connect() as database:
        query = f"select count(*), min(first_token_ns - start_ns) from '{parquet}'"
        count, least = database.execute(query).fetchall()[0]
    assert count == 60
    assert least >= 10_000_000
    with (tmp_path / "profile_export.csv").open() as file:
        assert any("time_to_first_token" in row for line in csv.reader(file) for row in line)
    assert f"Report: {tmp_path / 'profile_export.json'}" in done.out
    assert "Verdict: " in done.out


def test_json_alone_goes_to_standard_output(server, tmp_path):
    """`--json` is the summary and nothing else."""
    done = run(server, tmp_path, *CHAT, "--request-count", "10", "--concurrency", "2", "--json")
    assert json.loads(done.out)["metrics"]["request_count"]["avg"] == 10


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("streaming", [True, False])
def test_endpoints_streamed_and_not(server, tmp_path, endpoint, streaming):
    """Without a stream there is no first token; the latency and the counts are there."""
    flags = ["--endpoint-type", endpoint, "--isl", "20", "--osl", "8", "--request-count", "12"]
    done = run(server, tmp_path, *flags, *["--streaming"] * streaming, "--run-type", "inline")
    metrics = done.summary["metrics"]
    assert metrics["request_count"]["avg"] == 12
    assert metrics["request_latency"]["min"] > 0
    assert (metrics["time_to_first_token"]["count"] == 12) is streaming
    assert {row["token_provenance"] for row in done.rows} == {"server_usage"}


def test_a_constant_rate_is_kept(server, tmp_path):
    """50 per second: intended times are exactly 20 ms apart, and starts follow them."""
    flags = ("--request-rate", "50", "--arrival-pattern", "constant", "--request-count", "100")
    done = run(server, tmp_path, *CHAT, "--streaming", *flags)
    rows = sorted(done.rows, key=lambda row: row["schedule_index"])
    intended = [row["intended_ns"] for row in rows]
    assert {b - a for a, b in itertools.pairwise(intended)} == {20_000_000}
    assert all(row["start_ns"] >= row["intended_ns"] for row in rows)


def test_workers_change_no_intended_time_and_no_prompt(tmp_path):
    """One worker or three: the same offsets and the same entries by index."""
    seen = []
    with mock_server("--ttft-ms", "5") as url:
        for workers in ("1", "3"):
            flags = ("--request-rate", "200", "--arrival-pattern", "poisson", "--workers", workers)
            folder = tmp_path / workers
            done = run(url, folder, *CHAT, *flags, "--request-count", "150", "--random-seed", "7")
            rows = sorted(done.rows, key=lambda row: row["schedule_index"])
            first = rows[0]["intended_ns"]
            seen.append([(r["intended_ns"] - first, r["input_tokens"]) for r in rows])
            assert {row["worker_id"] for row in rows} == set(range(int(workers)))
    assert seen[0] == seen[1]


def test_warm_up_is_kept_out_of_the_metrics(server, tmp_path):
    """Ten warm-up requests are in the rows, not in the counts."""
    flags = ("--warmup-request-count", "10", "--concurrency", "3", "--request-count", "30")
    done = run(server, tmp_path, *CHAT, *flags, "--run-type", "inline")
    assert done.summary["metrics"]["request_count"]["avg"] == 30
    assert [row["phase"] for row in done.rows].count("warmup") == 10
    assert [phase["name"] for phase in done.summary["phases"]] == ["warmup", "profiling"]


def test_a_duration_ends_and_its_grace_lets_requests_finish(tmp_path):
    """Some seconds of sending; what is in flight then has its grace, and is not cut off."""
    with mock_server("--ttft-ms", "300") as url:
        flags = ("--benchmark-duration", "2", "--benchmark-grace-period", "60")
        done = run(url, tmp_path, *CHAT, "--streaming", "--concurrency", "4", *flags)
    metrics = done.summary["metrics"]
    assert metrics["cancelled_request_count"]["avg"] == 0
    assert metrics["request_count"]["avg"] == len(done.rows) >= 4
    phase = done.summary["phases"][0]
    assert phase["last_end_ns"] - phase["first_start_ns"] >= 2e9


def test_a_grace_that_is_too_short_cancels_and_says_so(tmp_path):
    """Requests that outlast the grace are rows of their own kind."""
    with mock_server("--ttft-ms", "60000") as url:
        flags = ("--benchmark-duration", "0.5", "--benchmark-grace-period", "0.2")
        done = run(url, tmp_path, *CHAT, "--streaming", "--concurrency", "4", *flags)
    assert {row["error_kind"] for row in done.rows} == {"cancelled"}
    assert all(row["cancelled"] for row in done.rows)
    assert done.summary["phases"][0]["timed_out"] is True


def test_failures_are_rows_outside_success_latencies(tmp_path):
    """Some requests get an error status: counted by kind, with the server's words."""
    with mock_server("--ttft-ms", "5", "--fail-rate", "0.5", "--seed", "3") as url:
        flags = ("--concurrency", "4", "--request-count", "80")
        done = run(url, tmp_path, *CHAT, "--streaming", *flags)
    metrics = done.summary["metrics"]
    failed = metrics["error_request_count"]["avg"]
    assert 20 <= failed <= 60
    assert metrics["request_count"]["avg"] + failed == 80
    assert metrics["request_latency"]["count"] == 80 - failed
    assert len(done.rows) == 80
    assert done.summary["errors"][0]["kind"] == "http_status"


def test_all_failed_is_invalid_and_still_written_down(tmp_path):
    """A server that refuses everything gives an INVALID verdict and exit code 1."""
    with mock_server("--fail-rate", "1") as url:
        done = run(url, tmp_path, *CHAT, "--concurrency", "2", "--request-count", "10")
    assert done.process.returncode == 1
    assert done.summary["verdict"]["status"] == "INVALID"
    assert "all_failed" in done.causes()
    assert len(done.rows) == 10


def test_no_server_is_exit_code_4_without_a_traceback(tmp_path):
    """Nothing listens: one line that names the URL."""
    done = run("http://127.0.0.1:9", tmp_path, *CHAT, "--request-count", "10")
    assert done.process.returncode == 4
    assert "http://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err


def test_a_jsonl_file_is_sent_line_by_line(server, tmp_path):
    """`single_turn` rows carry their own output length and extras."""
    file = tmp_path / "in.jsonl"
    lines = [{"text": f"prompt {n}", "output_length": n + 1} for n in range(5)]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    flags = ("--input-file", str(file), "--custom-dataset-type", "single_turn")
    folder = tmp_path / "run"
    done = run(server, folder, "--streaming", *flags, "--request-count", "10", "--concurrency", "1")
    rows = sorted(done.rows, key=lambda row: row["schedule_index"])
    assert [row["output_tokens"] for row in rows] == [1, 2, 3, 4, 5] * 2


def test_a_broken_line_of_the_input_is_named(server, tmp_path):
    """File and line, what was got, exit code 2, and no traceback."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "fine"}\n{"text": \n')
    flags = ("--input-file", str(file), "--custom-dataset-type", "single_turn")
    done = Run(server, tmp_path / "run", *flags, "--request-count", "10")
    assert done.wait() == 2
    assert f"{file}:2" in done.err
    assert "Traceback" not in done.err


def test_without_a_url_the_embedded_server_is_measured(tmp_path):
    """The main job needs no server."""
    done = run("", tmp_path, *CHAT, "--streaming", "--concurrency", "2", "--request-count", "20")
    assert done.process.returncode in {0, 1}, done.err
    assert done.summary["metrics"]["request_count"]["avg"] == 20


def test_a_second_run_in_the_same_folder_keeps_all_of_the_first(server, tmp_path):
    """Scripts reuse folders: the files are of the newest run, the old ones lie with its journal."""
    for more in (("5", "--slice-duration", "1"), ("7",)):
        done = run(server, tmp_path, *CHAT, "--concurrency", "1", "--request-count", *more)
    assert done.summary["metrics"]["request_count"]["avg"] == 7
    old = tmp_path / "journal.old-1"
    assert (old / "records.journal").exists()
    summary = json.loads((old / "profile_export.json").read_bytes())
    assert summary["metrics"]["request_count"]["avg"] == 5
    assert (old / "profile_export_timeslices.json").exists()
    assert not (tmp_path / "profile_export_timeslices.json").exists()


CONVERSATIONS = [
    {"session_id": "a", "turns": ["one", {"text": "two", "delay": 50}, "three"]},
    {"session_id": "b", "turns": ["uno", "dos"]},
    {"session_id": "c", "turns": ["solo"]},
]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_conversations_are_sent_turn_by_turn(server, tmp_path, workers):
    """A turn waits for the answer before it and its delay; ids, counts and history are right."""
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in CONVERSATIONS))
    flags = ("--input-file", str(file), "--custom-dataset-type", "multi_turn", "--osl", "4")
    load = ("--concurrency", "2", "--request-count", "31", "--workers", workers)
    done = run(server, tmp_path / "run", "--streaming", *flags, *load)
    rows = done.rows
    assert len(rows) == 31
    assert len({row["x_request_id"] for row in rows}) == 31
    sessions = {}
    for row in sorted(rows, key=lambda row: row["start_ns"]):
        sessions.setdefault(row["session_id"], []).append(row)
    for turns in sessions.values():
        assert [row["turn"] for row in turns] == list(range(len(turns)))
        for before, after in itertools.pairwise(turns):
            delay_ns = 50_000_000 if (before["schedule_index"] % 3, after["turn"]) == (0, 1) else 0
            assert after["intended_ns"] == before["end_ns"] + delay_ns
            # Its own words, and the answer of four tokens, stand before the new ones.
            assert after["input_tokens"] >= before["input_tokens"] + 4
    assert done.summary["phases"][0]["sessions"] == len(sessions)


def test_tokens_are_counted_here_when_the_server_is_not_to_be_asked(server, tmp_path):
    """`--no-use-server-token-count`: every count is the client tokenizer's, and says so."""
    flags = ("--no-use-server-token-count", "--request-count", "10", "--concurrency", "2")
    done = run(server, tmp_path, *CHAT, "--streaming", *flags)
    assert {row["token_provenance"] for row in done.rows} == {"client_tokenizer"}
    assert {row["input_tokens"] for row in done.rows} == {20}
    assert {row["output_tokens"] for row in done.rows} == {8}


def test_what_is_wrong_with_a_data_set_is_in_the_log_once(tmp_path):
    """The report of a run that lost its data set points there."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\nno json\n')
    done = run("", tmp_path / "run", "--input-file", str(tmp_path / "in.jsonl"))
    assert done.process.returncode == 2
    assert "in.jsonl:2 is no request" in done.err
    log = (tmp_path / "run" / "logs" / "steelyard.log").read_text()
    assert log.count("in.jsonl:2 is no request") == 1
