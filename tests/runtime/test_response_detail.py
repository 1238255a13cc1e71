"""What the export levels keep of a response, as a worker's recorder comes by it."""

import asyncio
from array import array
from pathlib import Path

import msgspec
import numpy as np
import pytest
from detailed_runs import detailed_plan, exchange, lines_of

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.chunks import CHUNK_DTYPE
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import RECORD_DTYPE, ErrorKind
from steelyard.runtime import response_detail
from steelyard.runtime.board import Cell
from steelyard.runtime.raw_spool import RAW_FOLDER, spool_path
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.response_detail import detail_of

ENDPOINT = EndpointPlan(streaming=True)
WORD = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d}}\n\n'
DONE = b"data: [DONE]\n\n"


class OneEach:
    def count(self, text: str) -> int:
        return 1


class Rig:
    """A recorder that keeps what a plan asks for."""

    def __init__(self, plan, environ=()):
        self.batches: list[RecordBatch] = []
        cells = memoryview(array("q", [0] * (max(Cell) + 1)))
        loop = asyncio.new_event_loop()
        loop.close()
        self.recorder = Recorder(
            0, ChatEndpoint(ENDPOINT), OneEach, cells, self.batches.append, loop
        )
        self.detail = detail_of(plan, 0, dict(environ))
        if self.detail is not None:
            self.recorder.keep_detail(self.detail)
        self.recorder.begin(0, streaming=True)

    def record(self, *exchanges):
        for one in exchanges:
            self.recorder._queue.append(one)
        self.recorder.drain()

    def tables(self):
        """Flush; return the batches' records and chunks."""
        self.recorder.flush()
        return [
            (np.frombuffer(b.data, RECORD_DTYPE), np.frombuffer(b.chunks, CHUNK_DTYPE))
            for b in self.batches
        ]


@pytest.fixture
def plan_of(tmp_path):
    return lambda level, **endpoint: msgspec.structs.replace(
        detailed_plan(tmp_path, level), endpoint=msgspec.structs.replace(ENDPOINT, **endpoint)
    )


def test_summary_keeps_nothing(plan_of, tmp_path):
    """No table, no file, and the fold is told of nobody who wants more."""
    rig = Rig(plan_of("summary"))
    rig.record(exchange(0, pieces=(WORD, WORD, DONE)))
    ((records, chunks),) = rig.tables()
    assert (rig.detail, rig.recorder._keep) == (None, None)
    assert (records["chunks"].tolist(), chunks.size) == ([2], 0)
    assert not (tmp_path / RAW_FOLDER).exists()


def test_records_keeps_each_chunk_beside_its_row(plan_of, tmp_path):
    """Of broken streams too, and of none for an answer that is no stream."""
    rig = Rig(plan_of("records"))
    broken = exchange(1, pieces=(WORD, WORD))
    broken.fail(ErrorKind.TRUNCATED, "cut")
    whole = exchange(2, pieces=(b'{"choices":[{"message":{"content":"a b"}}]}',))
    rig.record(
        exchange(0, pieces=(WORD, WORD, WORD, USAGE % 3, DONE)),
        broken, whole, exchange(3, pieces=(WORD, WORD, USAGE % 9, DONE)),
    )  # fmt: skip
    ((records, chunks),) = rig.tables()
    assert records["chunks"].tolist() == [3, 2, 0, 2]
    assert chunks["row"].tolist() == [0, 0, 0, 1, 1, 3, 3]
    assert chunks["tokens"].tolist() == [1, 1, 1, 1, -1, 1, -1]
    for row in (0, 1, 3):
        own = chunks[chunks["row"] == row]["stamp_ns"]
        assert (own[0], own[-1]) == (records["first_token_ns"][row], records["last_token_ns"][row])
    assert not (tmp_path / RAW_FOLDER).exists()


def test_an_answer_that_was_refused_has_no_chunks_of_the_one_before(plan_of):
    """What is held of a stream is let go with its row."""
    rig = Rig(plan_of("records"))
    refused = exchange(1, pieces=(b"no",))
    refused.status = 503
    rig.record(exchange(0, pieces=(WORD, DONE)), refused)
    ((records, chunks),) = rig.tables()
    assert records["error_kind"].tolist() == [0, ErrorKind.HTTP_STATUS]
    assert chunks["row"].tolist() == [0]


def test_a_batch_goes_out_before_its_chunks_outgrow_a_message(plan_of, monkeypatch):
    """Rows are numbered anew in each batch."""
    monkeypatch.setattr(response_detail, "BATCH_BYTES_MAX", 3 * CHUNK_DTYPE.itemsize)
    rig = Rig(plan_of("records"))
    rig.record(*(exchange(i, pieces=(WORD, WORD, DONE)) for i in range(5)))
    tables = rig.tables()
    assert [len(records) for records, _ in tables] == [2, 2, 1]
    assert [chunks["row"].tolist() for _, chunks in tables] == [[0, 0, 1, 1]] * 2 + [[0, 0]]


def test_raw_has_a_line_in_the_file_for_every_row_that_left(plan_of, tmp_path):
    """The line is there first, so a crash can't leave a record without one."""
    rig = Rig(plan_of("raw"))
    seen = []
    path = spool_path(tmp_path, 0)
    rig.recorder._send = lambda batch: seen.append((batch.rows, len(lines_of(path))))
    rig.record(*(exchange(i, pieces=(WORD, DONE)) for i in range(3)))
    rig.recorder.flush()
    rig.record(exchange(3, pieces=(WORD, DONE)))
    rig.recorder.flush()
    rig.detail.close()
    assert seen == [(3, 3), (1, 4)]
    assert [line["responses"][0]["text"] for line in lines_of(path)] == [WORD.decode()] * 4


@pytest.mark.parametrize(
    ("headers", "api_key_env"),
    [
        ((("X-Tenant", "${THE_KEY}"),), ""),
        ((("X-Tenant", "id ${THE_KEY}"),), ""),
        ((("Authorization", "Bearer s3cret-value"),), ""),
        ((("Authorization", "Bearer ${THE_KEY}"),), ""),
        ((("x-api-key", "s3cret-value"),), ""),
        ((), "THE_KEY"),
    ],
)
def test_no_secret_of_the_plan_or_the_environment_is_spooled(
    plan_of, tmp_path, headers, api_key_env
):
    """However the key was given: neither its header nor its echo."""
    plan = plan_of("raw", headers=headers, api_key_env=api_key_env)
    rig = Rig(plan, {"THE_KEY": "s3cret-value"})
    one = exchange(0, pieces=(b"you are s3cret-value",))
    name = headers[0][0].encode() if headers else b"Authorization"
    one.request = one.request.replace(b"Host: x", b"Host: x\r\n" + name + b": Bearer s3cret-value")
    rig.record(one)
    rig.recorder.flush()
    rig.detail.close()
    text = Path(spool_path(tmp_path, 0)).read_text()
    assert "s3cret" not in text
    assert name.decode() not in text
    assert "Host" in text
