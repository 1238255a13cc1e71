"""Any stream, cut anywhere: what the server meant is what the record says.

A real server writes each answer in the pieces that hypothesis chose; the record is made by the
transport and the recorder that runs use.
"""

import asyncio
import json
from dataclasses import dataclass

import numpy as np
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import Rig, recorded, server_tls

from steelyard.domain.bench.records import MISSING, ErrorKind

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@dataclass(frozen=True)
class Script:
    """An answer, the pieces it goes out in, and what its record has to say."""

    wire: bytes
    splits: tuple[int, ...]
    closes: bool
    error: ErrorKind
    contents: int
    usage: int

    def pieces(self):
        """Return the wire bytes in the pieces that are written apart."""
        ends = sorted({min(split, len(self.wire)) for split in self.splits} | {len(self.wire)})
        return [self.wire[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


def chunk(content=None, **more):
    """Return the JSON of a stream's chunk."""
    choices = [] if content is None else [{"index": 0, "delta": {"content": content}}]
    return json.dumps({"object": "chat.completion.chunk", "choices": choices, **more})


@st.composite
def event_lines(draw, kind):
    """Return the lines of one event of a kind."""
    if kind == "content":
        return [f"data: {chunk(draw(TEXTS))}"]
    if kind == "spread":  # one event over several data lines is joined by LF: still one JSON
        text = chunk(draw(TEXTS))
        cut = text.index(":") + 1
        return ["id: 7", f"data: {text[:cut]}", f"data:{text[cut:]}"]
    return {
        "comment": [": keep-alive"],
        "retry": ["retry: 3000"],
        "role": [f"data: {json.dumps({'choices': [{'delta': {'role': 'assistant'}}]})}"],
        "error": ['data: {"error": {"message": "out of memory", "code": 500}}'],
        "malformed": ['data: {"choices": [{"delta"'],
    }[kind]


@st.composite
def scripts(draw):
    """Return an answer with any framing, line ends and splits; some are cut short."""
    kinds = draw(st.lists(st.sampled_from(["content", "spread", "comment", "retry", "role"]),
                          max_size=8))  # fmt: skip
    fault = draw(st.sampled_from([None, None, None, "error", "malformed"]))
    if fault:
        kinds.append(fault)
    events = [draw(event_lines(kind)) for kind in kinds]
    usage = draw(st.integers(0, 500))
    events.append([f"data: {chunk(usage={'prompt_tokens': 3, 'completion_tokens': usage})}"])
    events.append(["data: [DONE]"])
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    body = "".join(line_end.join([*event, "", ""]) for event in events).encode()
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    head, body = framed(draw, framing, body)
    wire = draw(st.sampled_from([b"", INTERIM])) + head + body
    contents = sum(kind in {"content", "spread"} for kind in kinds)
    error = {
        "error": ErrorKind.SERVER_ERROR,
        "malformed": ErrorKind.MALFORMED,
        None: ErrorKind.NONE if contents else ErrorKind.EMPTY,
    }[fault]
    closes = framing == "close"
    cut = None if closes else draw(st.none() | st.integers(0, len(wire) - 1))
    if cut is not None:
        wire, closes = wire[:cut], True
        error = ErrorKind.TRUNCATED if cut else ErrorKind.RESET
    splits = tuple(draw(st.lists(st.integers(1, max(1, len(wire))), max_size=30)))
    return Script(wire, splits, closes, error, contents, usage)


def framed(draw, framing, body):
    """Return head and body as HTTP/1.1 frames them."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body), body
    if framing == "close":
        return head + b"\r\n", body
    ends = sorted({*draw(st.lists(st.integers(1, len(body)), max_size=10)), len(body)})
    parts = [body[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in parts)
    return head + b"Transfer-Encoding: chunked\r\n\r\n", chunks + b"0\r\n\r\n"


class Bench:
    """One server and one transport for all examples, so that connections are used again."""

    def __init__(self, runner, tls):
        self._runner = runner
        self._script = None
        self.tls = tls
        context = server_tls(trustme.CA(), "localhost") if tls else None
        self._rig = Rig(self._answer, tls=context, insecure=True, streaming=True)
        runner.run(self._rig.__aenter__())

    def close(self):
        self._runner.run(self._rig.__aexit__())

    async def _answer(self, reader, writer):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self._script.pieces():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if self._script.closes:
                return

    def record(self, script):
        """Have the server answer by the script; return the exchange, its row and its gaps."""
        self._script = script
        return self._runner.run(self._record())

    async def _record(self):
        ended = await self._rig.send()
        return ended, *recorded(ended, streaming=True)


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def bench(request, runner):
    made = Bench(runner, request.param)
    yield made
    made.close()


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=scripts())
def test_a_record_says_what_the_server_meant(bench, script):
    """Kind, counts and sizes are those of the answer, however it was cut on its way."""
    exchange, row, gaps = bench.record(script)
    assert ErrorKind(row["error_kind"]) == script.error, exchange.error_text
    assert bool(exchange.error_text) == (script.error != ErrorKind.NONE)
    assert row["attempt"] in {0, 1}
    whole = script.error not in {ErrorKind.TRUNCATED, ErrorKind.RESET}
    if whole:
        assert row["chunks"] == script.contents
        assert row["status"] == 200
    else:
        assert row["chunks"] <= script.contents
    if script.error == ErrorKind.NONE:
        assert row["output_tokens"] == script.usage
    if not bench.tls:
        assert row["bytes_received"] == len(script.wire)
    assert_times(row, gaps)


def assert_times(row, gaps):
    """Stamps are in order, and gaps and coalesced events account for every chunk."""
    assert row["intended_ns"] <= row["start_ns"]
    if row["first_byte_ns"] != MISSING:
        assert row["start_ns"] <= row["first_byte_ns"] <= row["end_ns"]
    if row["chunks"]:
        steps = [row["first_byte_ns"], row["first_token_ns"], row["last_token_ns"], row["end_ns"]]
        assert steps == sorted(steps)
        assert row["stamp_lower_ns"] <= row["first_token_ns"]
        assert len(gaps) == row["chunks"] - 1
        assert np.count_nonzero(gaps == MISSING) == row["coalesced_events"]
        measured = gaps[gaps != MISSING]
        assert measured.sum() == row["last_token_ns"] - row["first_token_ns"]


@settings(max_examples=60, deadline=None)
@given(wire=st.binary(min_size=1, max_size=300), splits=st.lists(st.integers(1, 300), max_size=5))
def test_no_bytes_at_all_bring_the_client_down(bench, wire, splits):
    """Whatever a server says, the request ends with a record that names a kind."""
    script = Script(wire, tuple(splits), True, ErrorKind.PROTOCOL, 0, 0)
    exchange, row, _ = bench.record(script)
    assert ErrorKind(row["error_kind"]) in {ErrorKind.PROTOCOL, ErrorKind.TRUNCATED}
    assert exchange.error_text
