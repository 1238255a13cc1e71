"""`steelyard mock` as a process: what a client sees and what the truth log says agree."""

import csv
import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.acceptance

MS = 1_000_000


@contextmanager
def mock(*flags: str) -> Iterator[int]:
    """Run the command, yield its port, end it as Ctrl-C does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard", "mock", "--port", "0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        yield int(line.rsplit(":", 1)[1])
    finally:
        process.send_signal(signal.SIGINT)
        _out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.startswith("mock (pid "), err
    assert "requests" in err


def body(**fields: Any) -> bytes:
    message = {"role": "user", "content": "one two three"}
    return json.dumps({"model": "m", "messages": [message], **fields}).encode()


def connect(port: int) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60))


def post(port: int, data: bytes) -> tuple[int, bytes]:
    """Return the status and body of one chat request."""
    with connect(port) as connection:
        connection.request("POST", "/v1/chat/completions", data, {"X-Request-ID": "r"})
        with connection.getresponse() as answer:
            return answer.status, answer.read()


def wait_until_running(port: int, requests: int) -> None:
    """Wait until the server has so many requests under way."""
    line = f"steelyard_mock_requests_running {requests}\n"
    deadline = time.monotonic() + 60
    while True:
        with connect(port) as connection:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
        if line in page:
            return
        assert time.monotonic() < deadline, page
        time.sleep(0.05)


def events(text: bytes) -> list[Any]:
    """Return the data of each event, decoded; `[DONE]` as text."""
    found = [part.removeprefix(b"data: ") for part in text.split(b"\n\n") if part]
    return ["[DONE]" if part == b"[DONE]" else json.loads(part) for part in found]


def contents(found: list[Any]) -> list[str]:
    return [
        choice["delta"]["content"]
        for event in found
        if event != "[DONE]"
        for choice in event["choices"]
        if choice["delta"].get("content")
    ]


def truth(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["x_request_id"]: row for row in csv.DictReader(file)}


def stream_arrivals(port: int, request_id: str, tokens: int) -> tuple[int, list[int]]:
    """Stream one answer over a raw socket; return the send time and each content's read time."""
    data = body(stream=True, max_tokens=tokens)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-ID: {request_id}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    arrivals: list[int] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        start_ns = time.monotonic_ns()
        sock.sendall(head.encode() + data)
        received = b""
        while b"data: [DONE]" not in received:
            piece = sock.recv(65_536)
            now_ns = time.monotonic_ns()
            assert piece, received
            arrivals += [now_ns] * piece.count(b'"content":" ')
            received += piece
    return start_ns, arrivals


def test_the_truth_log_agrees_with_what_the_client_saw(tmp_path: Path) -> None:
    """Each logged time lies between the client's send and its read, and the waits are kept."""
    log = tmp_path / "truth.csv"
    with mock("--ttft-ms", "40", "--itl-ms", "10", "--truth-log", str(log)) as port:
        seen = {f"r{n}": stream_arrivals(port, f"r{n}", 5) for n in range(4)}
    rows = truth(log)
    assert set(rows) == set(seen)
    for name, (start_ns, arrivals) in seen.items():
        row = rows[name]
        assert (row["chunks"], row["status"], row["output_tokens"]) == ("5", "200", "5")
        assert len(arrivals) == 5
        received, first, second, last = (
            int(row[key])
            for key in ("received_ns", "first_send_ns", "second_send_ns", "last_send_ns")
        )
        assert row["received_source"] == "kernel"
        # The kernel's stamp is wall time turned monotonic: allow its conversion 0.2 ms.
        assert start_ns - MS // 5 <= received <= first
        assert first <= arrivals[0]
        assert second <= arrivals[1]
        assert last <= arrivals[-1]
        assert first - received >= 40 * MS
        assert second - received >= 50 * MS
        assert last - received >= 80 * MS  # deadlines are absolute: lateness doesn't add up


def test_ctrl_c_writes_out_rows_of_the_last_second(tmp_path: Path) -> None:
    """Nothing logged is lost at the end, and a hung request is logged too."""
    log = tmp_path / "truth.csv"
    with mock("--faults", "hang", "--truth-log", str(log)) as port, connect(port) as connection:
        connection.request("POST", "/v1/chat/completions", body(), {"X-Request-ID": "h"})
        wait_until_running(port, 1)
    row = truth(log)["h"]
    assert (row["status"], row["fault"], row["first_send_ns"]) == ("0", "hang", "-1")


def test_usage_counts_words_and_tokens() -> None:
    """Prompt tokens are words of the prompt; the stream's usage comes when it is asked for."""
    with mock("--tokens", "7") as port:
        found = events(post(port, body(stream=True, stream_options={"include_usage": True}))[1])
        plain = json.loads(post(port, body(max_tokens=3))[1])
        without = events(post(port, body(stream=True))[1])
    usage = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
    assert found[-1] == "[DONE]"
    assert found[-2]["choices"] == []
    assert found[-2]["usage"] == usage
    assert len(contents(found)) == 7
    assert found[-3]["choices"][0]["finish_reason"] == "stop"
    assert plain["usage"]["completion_tokens"] == 3
    assert plain["choices"][0]["finish_reason"] == "length"
    assert len(plain["choices"][0]["message"]["content"].split()) == 3
    assert not any("usage" in event for event in without if event != "[DONE]")


def test_several_tokens_in_a_chunk() -> None:
    """Ten tokens by four make chunks of four, four and two."""
    with mock("--tokens", "10", "--tokens-per-chunk", "4", "--no-role-chunk") as port:
        found = events(post(port, body(stream=True))[1])
    assert [len(text.split()) for text in contents(found)] == [4, 4, 2]
    assert "role" not in found[0]["choices"][0]["delta"]


def test_the_role_chunk_comes_before_the_first_wait() -> None:
    """A role chunk without content is on the wire long before the first token."""
    with (
        mock("--ttft-ms", "3600000", "--tokens", "2") as port,
        connect(port) as connection,
    ):
        connection.request("POST", "/v1/chat/completions", body(stream=True))
        with connection.getresponse() as answer:
            assert b'"role":"assistant"' in answer.readline()


def test_odd_splits_reach_the_client() -> None:
    """With split=1 a client reads many small pieces that join to a whole answer.

    One that stands still for a while finds the pieces joined: another answer shows them.
    """
    with mock("--faults", "split=1", "--tokens", "400") as port:
        answers = (pieces_of_an_answer(port) for _ in range(10))
        pieces = next(some for some in answers if sum(len(piece) < 64 for piece in some) > 10)
    assert b"".join(pieces).count(b'"content":" ') == 400


def pieces_of_an_answer(port: int) -> list[bytes]:
    """Return what each read of one streamed answer brought."""
    data = body(stream=True)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n"
    pieces: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(head.encode() + data)
        while not b"".join(pieces[-12:]).endswith(b"0\r\n\r\n"):
            pieces.append(sock.recv(65_536))
            assert pieces[-1]
    return pieces


@pytest.mark.parametrize("stream", [True, False])
def test_a_reset_reaches_the_client(stream: bool) -> None:
    """With reset=1 the connection ends with a TCP reset, not an orderly end."""
    with mock("--faults", "reset=1", "--tokens", "8") as port, pytest.raises(ConnectionResetError):
        post(port, body(stream=stream))


@pytest.mark.parametrize("stream", [True, False])
def test_a_truncated_answer_ends_early(stream: bool) -> None:
    """With truncated=1 the body stops short of its framing."""
    flags = ("--faults", "truncated=1", "--tokens", "8")
    with mock(*flags) as port, pytest.raises(http.client.IncompleteRead):
        post(port, body(stream=stream))


@pytest.mark.parametrize("stream", [True, False])
def test_malformed_json_is_well_framed(stream: bool) -> None:
    """With malformed=1 HTTP is right and the JSON is not."""
    with mock("--faults", "malformed=1", "--tokens", "8") as port:
        status, text = post(port, body(stream=stream))
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        events(text) if stream else json.loads(text)


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_can_hide_inside_a_200(stream: bool) -> None:
    """With error-event=1 the status is 200 and the body or an event says `error`."""
    with mock("--faults", "error-event=1", "--tokens", "8") as port:
        status, text = post(port, body(stream=stream))
    assert status == 200
    found = events(text) if stream else [json.loads(text)]
    assert any(event != "[DONE]" and "error" in event for event in found)


def test_fail_rate_is_a_share_and_repeats_by_seed() -> None:
    """About a fifth of requests fail with the chosen status, the same ones in a second run."""

    def statuses() -> list[int]:
        flags = ("--fail-rate", "0.2", "--error-status", "503", "--seed", "7")
        with mock(*flags) as port, connect(port) as connection:
            found = []
            for _ in range(400):
                connection.request("POST", "/v1/chat/completions", body(max_tokens=1))
                answer = connection.getresponse()
                answer.read()
                found.append(answer.status)
        return found

    first = statuses()
    assert set(first) == {200, 503}
    assert 50 <= first.count(503) <= 115  # binomial(400, 0.2): mean 80, 4.4 standard deviations
    assert statuses() == first


def test_a_client_that_leaves_is_logged(tmp_path: Path) -> None:
    """Closing mid-stream logs 499 with the chunks that were written."""
    log = tmp_path / "truth.csv"
    with mock("--itl-ms", "20", "--tokens", "9000", "--truth-log", str(log)) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
            data = body(stream=True)
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nX-Request-ID: gone\r\n"
                f"Content-Length: {len(data)}\r\n\r\n"
            )
            sock.sendall(head.encode() + data)
            sock.recv(65_536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until_running(port, 0)
    row = truth(log)["gone"]
    assert row["status"] == "499"
    assert 1 <= int(row["chunks"]) < 9000, "all of them take three minutes"


def test_pages_and_errors_are_shaped_as_openai_shapes_them() -> None:
    """Models, health, metrics; 400, 404, 405 with an error object."""
    with mock("--model", "alpha", "--model", "beta") as port, connect(port) as connection:

        def ask(method: str, path: str, data: bytes | None = None) -> tuple[int, bytes]:
            connection.request(method, path, data)
            answer = connection.getresponse()
            return answer.status, answer.read()

        models = json.loads(ask("GET", "/v1/models")[1])
        assert [model["id"] for model in models["data"]] == ["alpha", "beta"]
        assert ask("GET", "/health")[0] == 200
        for method, path, data, status in (
            ("POST", "/v1/chat/completions", b"{", 400),
            ("POST", "/v1/chat/completions", b'{"messages": []}', 400),
            ("POST", "/v1/chat/completions", body(), 404),  # model m is not served
            ("GET", "/v1/chat/completions", None, 405),
            ("POST", "/v1/models", b"", 405),
            ("GET", "/nowhere", None, 404),
        ):
            got, text = ask(method, path, data)
            assert got == status, (method, path)
            assert json.loads(text)["error"]["message"]
        status, text = ask("POST", "/v1/chat/completions", body(model="beta"))
        assert status == 200
        page = ask("GET", "/metrics")[1].decode()
    assert 'steelyard_mock_requests_total{status="200"} 1' in page
    assert 'steelyard_mock_time_to_first_token_seconds_bucket{le="+Inf"} 1' in page


def test_a_wrong_flag_is_a_usage_error() -> None:
    """An unknown fault exits with 2 and names what is close."""
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "mock", "--faults", "rest=1"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert "reset" in done.stderr


def test_help_teaches_by_example() -> None:
    """The page ends with command lines to copy."""
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "mock", "--help"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "--truth-log" in done.stdout
    assert "steelyard mock --port 8000 --ttft-ms 200" in done.stdout.split("Examples:")[1]
