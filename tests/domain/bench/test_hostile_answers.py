"""Answers that no server should give: each is a failure with words, and none an exception."""

import json

import pytest
from endpoint_samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.fold import fold_body, fold_stream
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import ErrorKind
from steelyard.runtime.plugin_host import PluginHost

HOST = PluginHost.standard()
CHAT = ChatEndpoint(EndpointPlan())
DEEP = b"[" * 100_000 + b"]" * 100_000
WORDS = (
    "choices", "delta", "message", "content", "text", "reasoning_content", "tool_calls", "usage",
    "prompt_tokens", "completion_tokens", "prompt_tokens_details", "error", "finish_reason", "type",
    "data", "embedding", "index", "results", "rankings", "relevance_score", "logit", "token",
    "generated_text", "details", "output", "response", "item", "special", "id", "input_tokens",
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=4) | st.floats()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def hostile(draw, samples):
    """Return JSON of known words and wrong values, or a true answer with a few bytes changed."""
    if draw(st.booleans()):
        return json.dumps(draw(VALUES)).encode()
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize("name", sorted(SAMPLES))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_answer_makes_an_endpoint_raise(name, data):
    """Whole or streamed, and when its texts are asked for afterwards."""
    sample = SAMPLES[name]
    endpoint = HOST.load("endpoint", name)(sample.get("plan", EndpointPlan()))
    answers = [part for part in (sample.get("body", b""), *sample.get("events", ())) if part]
    events = data.draw(st.lists(hostile(answers), min_size=1, max_size=3))
    for body in events:
        whole = fold_body(endpoint, body)
        assert isinstance("".join(whole.texts()), str)
        assert bool(whole.error_text) == (whole.error != ErrorKind.NONE)
    pieces = [b"data: " + event.replace(b"\n", b" ") + b"\n\n" for event in events]
    folded = fold_stream(endpoint, pieces, list(range(len(pieces))), -1)
    assert isinstance("".join(folded.texts()), str)
    assert bool(folded.error_text) == (folded.error != ErrorKind.NONE)


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices":[{"delta":{"content":"\xff\xfe"}}]}',
        b'{"choices":[{"delta":{"content":"x"},"more":' + DEEP + b"}]}",
        b'{"choices":[{"delta":{"content":"x"}}],"usage":' + DEEP + b"}",
        b'{"choices":[{"delta":{"content":"\\ud800"}}]}',
        b'{"choices":[{"delta":{"content":[{"text":5}]}}]}',
    ],
    ids=["no utf-8", "deep", "deep usage", "half a surrogate", "a number for text"],
)
def test_an_event_that_can_not_be_read_fails_its_request(event):
    """What came before it is kept, and the run goes on."""
    good = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n'
    pieces = [good, b"data: " + event + b"\n\n"]
    folded = fold_stream(CHAT, pieces, [10, 20], 5)
    assert folded.error == ErrorKind.MALFORMED
    assert "can't be read" in folded.error_text
    assert (folded.chunks, folded.texts()) == (1, ["one"])
    assert fold_body(CHAT, event.replace(b'"delta"', b'"message"')).error == ErrorKind.MALFORMED


def test_text_can_be_had_of_each_event_that_counted():
    """Also where a field that nobody asked about is not what it should be."""
    event = b'data: {"choices":[{"delta":{"%b":"x"},"finish_reason":5}]}\n\n'
    plain = b'data: {"choices":[{"text":"y","finish_reason":5}]}\n\n'
    pieces = [event % b"content", event % b"reasoning", plain]
    folded = fold_stream(CHAT, pieces, [10, 20, 30], 5)
    assert (folded.chunks, folded.texts()) == (3, ["x", "x", "y"])
