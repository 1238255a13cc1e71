"""The chunk side table: what each chunk's stamp says, and what it does not."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.chunks import (
    CHUNK_DTYPE,
    CHUNKS_MAX,
    ChunkKind,
    chunk_rows,
    empty_chunks,
    note_tokens,
)
from steelyard.domain.bench.fold import Folded, fold_stream
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING
from steelyard.domain.bench.response import CONTENT, REASONING

ENDPOINT = ChatEndpoint(EndpointPlan())
EVENTS = {
    "role": (b'{"choices":[{"delta":{"role":"assistant","content":""}}]}', 0),
    "content": (b'{"choices":[{"delta":{"content":"word"}}]}', CONTENT),
    "thought": (b'{"choices":[{"delta":{"reasoning_content":"hm"}}]}', REASONING),
    "usage": (b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}', 0),
    "end": (b"[DONE]", 0),
}


def table_of(names: list[str], stamps: list[int], before_ns: int) -> tuple[np.ndarray, Folded]:
    """Fold a stream with one event a piece; return its chunks beside what was folded."""
    pieces = [b"data: " + EVENTS[name][0] + b"\n\n" for name in names]
    return table_and_fold(pieces, stamps, before_ns)


def table_and_fold(
    pieces: list[bytes], stamps: list[int], before_ns: int
) -> tuple[np.ndarray, Folded]:
    kept: list[np.ndarray] = []

    def keep(events, marks, kinds):
        kept.append(chunk_rows(events, marks, kinds, stamps, before_ns))

    folded = fold_stream(ENDPOINT, pieces, stamps, before_ns, keep)
    return kept[0], folded


def test_a_chunk_lies_between_its_read_and_the_one_before():
    """Also where the read before brought no content: a role, or nothing but the send."""
    rows, _ = table_of(["role", "content", "thought", "end"], [10, 20, 35, 40], 5)
    assert rows["stamp_ns"].tolist() == [20, 35]
    assert rows["stamp_lower_ns"].tolist() == [10, 20]
    assert rows["kind"].tolist() == [ChunkKind.CONTENT, ChunkKind.REASONING]
    assert rows["bytes"].tolist() == [len(EVENTS["content"][0]), len(EVENTS["thought"][0])]
    first, _ = table_of(["content"], [20], 5)
    assert first["stamp_lower_ns"].tolist() == [5]


def test_chunks_of_one_read_share_its_bounds_and_say_so():
    """The first of a read is not coalesced with the one before, the others are."""
    rows, folded = table_of(["content"] * 4, [10, 10, 10, 30], 5)
    assert rows["coalesced"].tolist() == [False, True, True, False]
    assert rows["stamp_lower_ns"].tolist() == [5, 5, 5, 10]
    assert folded.coalesced == 2


@given(
    events=st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.integers(0, 3)), max_size=30),
    before_ns=st.integers(0, 100),
)
def test_the_table_and_the_record_tell_the_same_story(events, before_ns):
    """First, second, last, gaps, count and coalesced chunks, whatever the stream was like."""
    names = [name for name, _ in events]
    stamps = (before_ns + 1 + np.cumsum([step for _, step in events], dtype=int)).tolist()
    rows, folded = table_of(names, stamps, before_ns)
    assert len(rows) == folded.chunks
    assert rows["chunk_index"].tolist() == list(range(folded.chunks))
    assert int(rows["coalesced"].sum()) == folded.coalesced
    times = rows["stamp_ns"].tolist()
    gaps = [b - a or MISSING for a, b in pairwise(times)]
    assert gaps == folded.gaps_ns
    assert (rows["stamp_lower_ns"] < rows["stamp_ns"]).all()
    if times:
        assert (times[0], times[-1]) == (folded.first_token_ns, folded.last_token_ns)
        assert rows["stamp_lower_ns"][0] == folded.lower_ns


@pytest.mark.parametrize(
    ("chunks", "output_tokens", "first_tokens", "known"),
    [
        (3, 3, 1, [1, 1, 1]),  # a token each
        (3, 7, 2, [2, -1, -1]),  # only the first was counted
        (3, MISSING, MISSING, [-1, -1, -1]),
        (1, 5, 5, [5]),
        (1, MISSING, MISSING, [-1]),
        (0, 4, MISSING, []),
    ],
)
def test_tokens_are_stated_only_where_they_are_known(chunks, output_tokens, first_tokens, known):
    """A chunk that nobody counted has no number rather than a guess."""
    rows = empty_chunks(chunks)
    note_tokens(rows, output_tokens, first_tokens)
    assert rows["tokens"].tolist() == known


def test_a_response_of_very_many_chunks_is_cut_not_refused():
    """The bound holds the size of a message; the record still counts them all."""
    many = CHUNKS_MAX + 7
    rows = chunk_rows([b"x"] * many, [9] * many, [CONTENT] * many, [9], 1)
    assert len(rows) == CHUNKS_MAX
    assert rows.nbytes < 8 * 1024 * 1024
    assert rows.dtype == CHUNK_DTYPE


def test_a_stream_cut_short_has_the_chunks_it_had():
    """What can't be read ends the table, as it ends the record's counts."""
    rows, folded = table_of(["content", "content"], [10, 20], 5)
    assert folded.chunks == len(rows) == 2
    pieces = [b"data: " + EVENTS["content"][0] + b"\n\n", b"data: {\n\n"]
    rows, folded = table_and_fold(pieces, [10, 20], 5)
    assert len(rows) == folded.chunks == 1
