"""The first word of a stream, found while it comes."""

import pytest

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.first_content import FirstContent
from steelyard.domain.bench.plan import EndpointPlan

ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
THOUGHT = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def found_at(*pieces: bytes) -> int | None:
    """Return with which piece the first content is found, counted from 1."""
    looked = FirstContent(ChatEndpoint(EndpointPlan(streaming=True)))
    so_far: list[bytes] = []
    for number, piece in enumerate(pieces, 1):
        so_far.append(piece)
        if looked.found(so_far):
            return number
    return None


@pytest.mark.parametrize("content", [WORD, THOUGHT])
def test_a_role_is_no_content_and_a_word_or_a_thought_is(content: bytes) -> None:
    """As the metrics have it."""
    assert found_at(ROLE, content, DONE) == 2


def test_an_event_is_read_when_it_is_whole() -> None:
    """However it is cut, and with others in one piece."""
    assert found_at(ROLE + WORD[:20], WORD[20:-1], WORD[-1:]) == 3
    assert found_at(b": comment\n\n" + ROLE + WORD + WORD) == 1


def test_pieces_seen_before_are_not_read_again() -> None:
    """Several pieces may have come between two looks."""
    looked = FirstContent(ChatEndpoint(EndpointPlan(streaming=True)))
    assert not looked.found([])
    assert not looked.found([ROLE, ROLE])
    assert looked.found([ROLE, ROLE, ROLE, WORD])


def test_a_stream_without_content_has_none() -> None:
    """Nor has a body that is no stream, or one that can't be read."""
    assert found_at(ROLE, DONE) is None
    assert found_at(b'{"choices":[{"message":', b'{"content":"hi"}}]}\n\n', WORD) is None
    assert found_at(b"data: {oops\n\n", WORD) is None
