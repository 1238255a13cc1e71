"""A line of the raw export: all that was said, and nothing that is secret."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.bench.raw_record import BODY_BYTES_MAX, RawMetadata, RawWriter, Said
from steelyard.domain.bench.records import MISSING, ErrorKind

HEAD = b"POST /v1 HTTP/1.1\r\nHost: h\r\nX-Request-ID: r-p0-3-0"
META = RawMetadata(
    x_request_id="r-p0-3-0", schedule_index=3, attempt=0, session_num=3, turn_index=0,
    benchmark_phase="profiling", worker_id=0,
)  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: s=1\r\n\r\n"
KEY = "sk-0123456789"


def line(body=b"{}", pieces=(), *, sent=HEAD, secret_headers=(), secrets=(), **said):
    fields = {
        "request": sent + b"\r\n\r\n" + body, "start_ns": 5, "end_ns": 9, "status": 200,
        "head": OK + b"".join(pieces), "pieces": pieces,
        "stamps": [6 + i for i in range(len(pieces))], "error": ErrorKind.NONE, "error_text": "",
    }  # fmt: skip
    written = RawWriter(secret_headers, secrets).line(META, Said(**(fields | said)))
    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    return json.loads(written), written


def body_of(record):
    """Put the response back together as a reader of the file would."""
    if any("base64" in piece for piece in record["responses"]):
        return b"".join(base64.b64decode(piece["base64"]) for piece in record["responses"])
    return "".join(piece.get("text", "") for piece in record["responses"]).encode()


@given(pieces=st.lists(st.binary(min_size=1, max_size=6), max_size=6))
def test_a_body_of_any_bytes_comes_back_byte_for_byte(pieces):
    """Text where it is text, base64 where it is not; each piece keeps its own stamp."""
    record, _ = line(pieces=pieces)
    assert body_of(record) == b"".join(pieces)
    assert [piece["perf_ns"] for piece in record["responses"]] == [
        6 + i for i in range(len(pieces))
    ]
    assert record["response_bytes"] == len(b"".join(pieces))
    assert record["response_truncated"] is False


@given(text=st.text(max_size=12), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_text_cut_inside_a_character_stays_text(text, cuts):
    """A character that two reads share is whole in the second."""
    data = text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    record, _ = line(pieces=pieces)
    assert "".join(piece.get("text", "") for piece in record["responses"]) == text


@pytest.mark.parametrize(
    ("body", "key", "value"),
    [
        (b'{"a": [1, 2.50, "\\u00e9"]}', "payload", {"a": [1, 2.5, "é"]}),
        (b"[]", "payload", []),
        (b'{"a":\n1}', "payload_text", '{"a":\n1}'),
        (b'{"a": 1} {"b": 2}', "payload_text", '{"a": 1} {"b": 2}'),
        (b"plain", "payload_text", "plain"),
        (b"\xff\x00", "payload_base64", base64.b64encode(b"\xff\x00").decode()),
    ],
)
def test_a_request_body_is_json_where_it_is_and_exact_in_any_case(body, key, value):
    """On one line it is spliced in as it was sent, digits and escapes included."""
    record, written = line(body)
    forms = {name: record[name] for name in ("payload", "payload_text", "payload_base64")}
    assert {name: form for name, form in forms.items() if form is not None} == {key: value}
    assert record["request_bytes"] == len(body)
    if key == "payload":
        assert body in written


def test_headers_that_hold_secrets_are_left_out():
    """By their names, by the plan's word, and in both directions."""
    sent = (
        HEAD + b"\r\nAuthorization: Bearer abc\r\nX-API-Key: abc\r\napi-key: abc\r\nCookie: c=1"
        b"\r\nX-Plain: shown\r\nX-From-Env: abc"
    )
    record, written = line(sent=sent, secret_headers=("x-from-env",))
    assert record["request_headers"] == {
        "Host": "h",
        "X-Request-ID": "r-p0-3-0",
        "X-Plain": "shown",
    }
    assert record["response_headers"] == {"Content-Type": "text/plain"}
    assert b"abc" not in written
    assert b"s=1" not in written


def test_a_secret_that_the_server_echoes_is_hidden():
    """In the response, in the error, in the request: wherever the words are."""
    echo = f'{{"error": "bad key {KEY}"}}'.encode()
    record, written = line(
        echo, (echo,), secrets=(KEY,), error=ErrorKind.HTTP_STATUS, error_text=f"HTTP 401: {KEY}"
    )
    assert KEY.encode() not in written
    assert record["payload"] == {"error": "bad key <redacted>"}
    assert record["responses"][0]["text"] == '{"error": "bad key *************"}'
    assert record["error"] == {"type": "http_status", "message": "HTTP 401: <redacted>"}


@pytest.mark.parametrize("cut", range(1, len(KEY)))
def test_a_secret_split_over_two_reads_is_hidden(cut):
    """The pieces keep their sizes."""
    record, _ = line(pieces=(b"<" + KEY[:cut].encode(), KEY[cut:].encode() + b">"), secrets=(KEY,))
    assert body_of(record) == b"<" + b"*" * len(KEY) + b">"
    assert len(record["responses"][0]["text"]) == cut + 1


def test_a_short_secret_does_not_tear_holes_into_bodies():
    """A key of `1` would match everywhere; its header is left out all the same."""
    record, _ = line(b'{"n": 1}', (b"11",), secrets=("1",))
    assert record["payload"] == {"n": 1}
    assert body_of(record) == b"11"


def test_long_bodies_are_cut_and_say_so():
    """The beginning is kept, the size is that of the whole."""
    piece = b"x" * (BODY_BYTES_MAX // 2 + 1)
    record, written = line(b'"' + b"y" * BODY_BYTES_MAX + b'"', (piece, piece, piece))
    assert record["request_truncated"] is record["response_truncated"] is True
    assert record["payload"] is None
    assert len(record["payload_text"]) == BODY_BYTES_MAX
    assert record["request_bytes"] == BODY_BYTES_MAX + 2
    assert body_of(record) == b"x" * BODY_BYTES_MAX
    assert record["response_bytes"] == 3 * len(piece)
    assert len(written) < 2.1 * BODY_BYTES_MAX


def test_a_cut_inside_a_character_does_not_make_text_binary():
    """What is missing of it was cut off, not damaged."""
    record, _ = line(pieces=("é".encode() * BODY_BYTES_MAX,))
    assert record["response_truncated"] is True
    assert set(record["responses"][0]["text"]) == {"é"}


def test_a_request_that_got_no_answer_has_its_line():
    """Nulls where nothing happened, and why."""
    record, _ = line(
        start_ns=MISSING, status=MISSING, head=b"", error=ErrorKind.CONNECT, error_text="refused"
    )
    assert (record["start_perf_ns"], record["status"]) == (None, None)
    assert record["response_headers"] == {}
    assert record["responses"] == []
    assert record["error"] == {"type": "connect", "message": "refused"}


def test_the_head_of_an_interim_answer_is_not_the_answers():
    """103 Early Hints has fields of its own."""
    record, _ = line(head=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    assert record["response_headers"] == {"Content-Type": "text/plain"}
