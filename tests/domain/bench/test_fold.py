"""From stamped bytes to first token, last token and counts."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.builtin.endpoint.messages import MessagesEndpoint
from steelyard.domain.bench.fold import fold_body, fold_stream, status_error
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.response import Piece, Usage

ENDPOINT = ChatEndpoint(EndpointPlan())


def event(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


ROLE = event(role="assistant", content=None)
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_the_first_token_is_the_first_content_not_the_role() -> None:
    """A role chunk with null content stamps nothing."""
    pieces = [ROLE, event(content="a"), event(content="b"), event(content="c"), USAGE, DONE]
    folded = fold_stream(ENDPOINT, pieces, [10, 20, 35, 55, 60, 61], before_ns=5)
    assert (folded.first_token_ns, folded.second_token_ns, folded.last_token_ns) == (20, 35, 55)
    assert folded.lower_ns == 10
    assert folded.gaps_ns == [15, 20]
    assert folded.max_gap_ns == 20
    assert folded.chunks == 3
    assert folded.coalesced == 0
    assert folded.usage == Usage(input_tokens=7, output_tokens=3)
    assert folded.texts() == ["a", "b", "c"]


def test_chunks_of_one_read_are_counted_not_timed() -> None:
    """Two chunks with one stamp have no gap: the count says that time was not seen."""
    piece = event(content="a") + event(content="b")
    folded = fold_stream(ENDPOINT, [piece, event(content="c"), DONE], [20, 30, 30], before_ns=5)
    assert folded.coalesced == 1
    assert folded.gaps_ns == [MISSING, 10]
    assert folded.lower_ns == 5


def test_reasoning_is_a_token_but_not_output() -> None:
    """Thinking stamps the first token; the answer stamps the first output."""
    pieces = [event(reasoning_content="hm"), event(content="yes"), DONE]
    folded = fold_stream(ENDPOINT, pieces, [20, 30, 31], before_ns=5)
    assert (folded.first_token_ns, folded.first_output_ns) == (20, 30)


def test_a_malformed_event_fails_the_request_and_keeps_what_came_before() -> None:
    """Broken JSON in mid-stream is a failure of kind MALFORMED; the first token stays known."""
    pieces = [event(content="a"), b'data: {"choices": [{"del\n\n', DONE]
    folded = fold_stream(ENDPOINT, pieces, [20, 30, 31], before_ns=5)
    assert folded.error == ErrorKind.MALFORMED
    assert folded.first_token_ns == 20
    assert '{"choices": [{"del' in folded.error_text


def test_an_error_inside_a_200_stream_fails_the_request() -> None:
    """The server's own words are kept."""
    pieces = [b'data: {"error": {"message": "out of memory"}}\n\n']
    folded = fold_stream(ENDPOINT, pieces, [20], before_ns=5)
    assert (folded.error, folded.error_text) == (ErrorKind.SERVER_ERROR, "out of memory")


def test_an_error_line_of_llama_cpp_fails_the_request() -> None:
    """It is no field of the standard, so it would be skipped."""
    pieces = [event(content="a"), b'error: {"code":500,"message":"no slot"}\n\n', DONE]
    folded = fold_stream(ENDPOINT, pieces, [1, 2, 3], before_ns=0)
    assert folded.error == ErrorKind.SERVER_ERROR
    assert "no slot" in folded.error_text


def test_a_stream_without_content_is_a_failure() -> None:
    """A role chunk and an end are no answer."""
    folded = fold_stream(ENDPOINT, [ROLE, DONE], [10, 11], before_ns=5)
    assert folded.error == ErrorKind.EMPTY


def test_a_whole_body_gives_usage_and_text() -> None:
    """Not streamed: the same counts, no first token."""
    body = {
        "choices": [{"message": {"content": "hello"}}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    }
    folded = fold_body(ENDPOINT, json.dumps(body).encode())
    assert folded.usage == Usage(2, 1)
    assert folded.texts() == ["hello"]
    assert folded.first_token_ns == MISSING


def test_a_body_that_is_no_answer_is_malformed() -> None:
    """HTML with status 200, say."""
    assert fold_body(ENDPOINT, b"<html>").error == ErrorKind.MALFORMED
    assert fold_body(ENDPOINT, b"{}").error == ErrorKind.MALFORMED


def test_an_http_error_shows_the_bodys_beginning() -> None:
    """Status and text, bounded."""
    assert status_error(503, b"busy") == "HTTP 503: busy"
    assert len(status_error(500, b"x" * 10_000)) < 400


EVENTS = st.sampled_from(
    [
        ROLE,
        USAGE,
        DONE,
        event(content="a"),
        event(content=""),
        event(reasoning_content="r"),
        event(content="c", reasoning_content="r"),
        event(tool_calls=[{"function": {"arguments": "{}"}}]),
        event(content=[{"type": "text", "text": "part"}]),
        b'data: {"choices": [{"text": "plain"}], "usage": {"completion_tokens": 4}}\n\n',
        b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": null}\n\n',
        b'data: {"error": "overloaded"}\n\n',
        b"data: {broken\n\n",
        b": comment\n\n",
        b'data: {"choices": [\ndata: {"text": "two lines"}]}\n\n',
        b'data: {"choices": [{"text": "one"}]}\ndata: {"choices": [{"text": "two"}]}\n\n',
        b'data: {"choices": [{"text": "named"}]}\nid: 5\n\n',
        b'event: message\ndata: {"choices": [{"text": "typed"}]}\n\n',
        b"data: \n\n",
    ]
)


class OneByOne:
    """The chat endpoint without its shortcut."""

    def read_event(self, data: bytes) -> Piece | None:
        return ENDPOINT.read_event(data)


@given(st.lists(EVENTS, max_size=12), st.booleans())
def test_reading_a_stream_at_once_is_reading_it_event_by_event(
    events: list[bytes], joined: bool
) -> None:
    """The shortcut of an endpoint changes no figure."""
    pieces = [b"".join(events)] if joined else events
    stamps = list(range(10, 10 + len(pieces)))
    fast = fold_stream(ENDPOINT, pieces, stamps, before_ns=5)
    slow = fold_stream(OneByOne(), pieces, stamps, before_ns=5)  # type: ignore[arg-type]
    assert fast.texts() == slow.texts()
    fast.texts = slow.texts
    assert fast == slow


@given(st.lists(EVENTS, max_size=12), st.lists(st.integers(0, 600), max_size=8))
def test_where_a_stream_is_cut_changes_nothing_but_times(
    events: list[bytes], cuts: list[int]
) -> None:
    """One read, one read for each event, or reads that end anywhere: the same content."""
    whole = b"".join(events)
    ends = sorted({cut for cut in cuts if cut < len(whole)} | {len(whole)})
    anywhere = [whole[a:b] for a, b in pairwise([0, *ends]) if b > a]
    said = []
    for pieces in ([whole] if whole else [], events, anywhere):
        folded = fold_stream(ENDPOINT, pieces, list(range(1, len(pieces) + 1)), before_ns=0)
        said.append((folded.texts(), folded.chunks, folded.usage, folded.error, folded.error_text))
    assert said[0] == said[1] == said[2]


def test_two_answers_in_one_event_are_malformed_even_beside_an_empty_event() -> None:
    """Their number is that of the events, which is all that reading them at once could count."""
    two = b'data: {"choices": [{"text": "a"}]}\ndata: {"choices": [{"text": "b"}]}\n\n'
    folded = fold_stream(ENDPOINT, [two, b"data: \n\n"], [1, 2], before_ns=0)
    assert folded.error == ErrorKind.MALFORMED


def test_what_follows_a_cut_event_goes_through_the_parser() -> None:
    """A piece that looks whole may be the end of the event before."""
    whole = event(content="a")
    pieces = [whole[:20], whole[20:], event(content="b")]
    folded = fold_stream(ENDPOINT, pieces, [10, 20, 30], before_ns=5)
    assert (folded.chunks, folded.first_token_ns, folded.second_token_ns) == (2, 20, 30)
    assert folded.error == ErrorKind.NONE


def test_counts_of_a_first_and_a_last_event_are_one_usage():
    """Anthropic's messages count the input at the start and the output at the end."""
    events = [
        b'{"type": "message_start", "message": {"usage": {"input_tokens": 9}}}',
        b'{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}}',
        b'{"type": "message_delta", "delta": {}, "usage": {"output_tokens": 4}}',
        b'{"type": "message_stop"}',
    ]
    pieces = [b"data: " + event + b"\n\n" for event in events]
    folded = fold_stream(MessagesEndpoint(EndpointPlan()), pieces, [1, 2, 3, 4], 0)
    assert (folded.usage.input_tokens, folded.usage.output_tokens, folded.chunks) == (9, 4, 1)
