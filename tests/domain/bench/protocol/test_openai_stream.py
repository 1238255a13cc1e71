"""A stream read in one go against the same stream read event by event."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.fold import read_one_by_one
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.protocol import openai_stream
from steelyard.domain.bench.response import CONTENT, REASONING

ENDPOINT = ChatEndpoint(EndpointPlan())
HEAD = b'{"id":"one","model":"word","choices":[{"index":0,"delta":{"role":"word","content":"'
TAIL = b'"},"logprobs":null,"finish_reason":null}]}'
ODD = [
    b"",
    b"word",
    b"Qk9",
    b'"',
    b'","x":"',
    b'"},"usage":{"completion_tokens":3},"y":{"z":"',
    b"\\",
    b"\\n",
    b'\\"',
    b"\\u00e9",
    b"\\ud800",
    b"\xc3",
    b"\xa9",
    b"\xc3\xa9",
    b"\xff",
    b"\t",
    b"\x00",
    b"\x7f",
    b"\xe2\x80\xa8",
    b"\n",
    TAIL + b"\n" + HEAD,
    TAIL + HEAD,
]
"""What a server may put between the quotes, well or badly."""
OTHERS = [
    b"",
    b"[DONE]",
    HEAD[:-1] + b'null},"finish_reason":null}]}',
    HEAD[:30],
    TAIL,
    HEAD,
    HEAD + TAIL[1:],
    HEAD.replace(b"content", b"reasoning") + b"why" + TAIL,
    HEAD.replace(b"content", b"contend") + b"word" + TAIL,
    b'{"choices":[{"text":"plain"}]}',
    b'{"choices":[{"delta":{"reasoning":"why","tool_calls":[{"function":{"name":"f"}}]}}]}',
    b'{"choices":[{"delta":{"reasoning":"why","refusal":"no"}}]}',
    b'{"choices":[{"delta":{"content":"a"}}],"message":{"role":"x"},"object":3}',
    b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}',
    b'{"error":"overloaded"}',
    b"{broken",
]
WORDS = st.sampled_from([b" a", b"bc", b" def", b"12"])
ALIKE = WORDS.map(lambda text: HEAD + text + TAIL)
LINES = st.one_of(
    ALIKE, ALIKE, ALIKE, st.sampled_from([HEAD + text + TAIL for text in ODD] + OTHERS)
)


def same(events: list[bytes]) -> None:
    fast, slow = openai_stream.read_stream(events), read_one_by_one(ENDPOINT, events)
    assert fast.kinds == slow.kinds
    assert fast.texts() == slow.texts()
    assert (fast.usage, fast.error, fast.malformed) == (slow.usage, slow.error, slow.malformed)


@settings(max_examples=400)
@given(
    st.lists(LINES, max_size=3),
    st.lists(ALIKE, min_size=16, max_size=24),
    st.lists(LINES, max_size=6),
    st.lists(ALIKE, max_size=20),
)
def test_a_run_of_like_events_is_read_as_each_of_them_would_be(
    first: list[bytes], run: list[bytes], odd: list[bytes], rest: list[bytes]
) -> None:
    """Whatever stands before, amid and behind the run."""
    same(first + run + odd + rest)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("place", [1, 9, 10, 11, 19])
def test_a_text_that_could_end_its_string_is_decoded(text: bytes, times: int, place: int) -> None:
    """Such a text is no proof that the event is of the same JSON."""
    events = [HEAD + b"word" + TAIL] * 20
    events[place : place + times] = [HEAD + text + TAIL] * times
    same(events)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("place", [0, 1, 9, 11, 18, 19])
def test_an_event_of_another_shape_amid_the_run_is_decoded(other: bytes, place: int) -> None:
    """Be it as long as the others, or shorter than what stands around their texts."""
    events = [HEAD + b"word" + TAIL] * 20
    events[place] = other
    same(events)


def test_the_two_halves_of_a_character_are_not_read_as_one() -> None:
    """Side by side the events' texts are UTF-8, each alone is not."""
    events = [HEAD + b"word" + TAIL] * 20
    events[12:14] = [HEAD + b"\xc3" + TAIL, HEAD + b"\xa9" + TAIL]
    same(events)
    assert openai_stream.read_stream(events).malformed


def test_a_name_that_is_spelled_as_the_text_is_not_taken_for_it() -> None:
    """What varies in its place may name another field."""
    head = b'{"choices":[{"delta":{"content":"ended"},"'
    events = [head + b'ended":null}]}'] * 20
    events[12] = head + b'delta":null}]}'
    same(events)
    assert openai_stream.read_stream(events).kinds.count(CONTENT) == 19


@pytest.mark.parametrize(
    ("said", "kind"), [("content", CONTENT), ("reasoning_content", REASONING), ("other", 0)]
)
def test_a_run_has_the_kind_of_the_event_that_was_decoded(said: str, kind: int) -> None:
    """Thinking is no output, and what is neither has no kind."""
    events = [json.dumps({"choices": [{"delta": {said: f"w{n}"}}]}).encode() for n in range(30)]
    same(events)
    assert openai_stream.read_stream(events).kinds == [kind] * 30


def test_a_run_counts_no_usage_of_its_own() -> None:
    """Counts in each event make the events differ; the last ones are the answer's."""
    line = '{"choices":[{"delta":{"content":"w"}}],"usage":{"completion_tokens":%d}}'
    events = [(line % (n + 1)).encode() for n in range(30)]
    same(events)
    usage = openai_stream.read_stream(events).usage
    assert usage is not None
    assert usage.output_tokens == 30
