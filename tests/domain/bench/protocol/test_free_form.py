"""Answers of unknown shape: the query first, then the usual shapes, never an invented answer."""

import json

import pytest

from steelyard.domain.bench.protocol.free_form import FreeFormReader
from steelyard.domain.bench.response import Usage


def read(answer, query=""):
    return FreeFormReader(query).read_body(json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("query", "answer", "text"),
    [
        ("a.b[1]", {"a": {"b": ["x", "y"]}}, "y"),
        ("a[].t", {"a": [{"t": "x"}, {"t": "y"}]}, "xy"),
        ("a", {"a": {"k": 1}}, '{"k":1}'),
        ("a", {"a": [0.5, 1.5]}, ""),
        ("missing", {"text": "fallback"}, "fallback"),
        ("length(a)", {"a": 1, "text": "fallback"}, "fallback"),
    ],
)
def test_the_query_finds_the_text(query, answer, text):
    """Texts are joined, objects shown as JSON, vectors are no text; else the text is detected."""
    assert read(answer, query).content == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"choices": [{"message": {"content": "x"}}]}, "x"),
        ({"choices": [{"text": "x"}]}, "x"),
        ({"generated_text": "x"}, "x"),
        ([{"generated_text": "x"}, {"generated_text": "y"}], "xy"),
        ({"content": [{"type": "text", "text": "x"}]}, "x"),
        ({"output": {"result": "x"}}, "x"),
        ({"data": [{"embedding": [0.5]}]}, ""),
        ({"results": [{"index": 0, "relevance_score": 1}]}, ""),
        ([{"index": 0, "score": 0.5}], ""),
    ],
)
def test_the_usual_shapes_are_detected(answer, text):
    """Vectors and ranks are answers without text."""
    assert read(answer).content == text


@pytest.mark.parametrize("answer", [{"status": "ok"}, {"choices": []}, {"data": []}, [1, 2], "x"])
def test_nothing_is_made_out_of_an_answer_without_text(answer):
    with pytest.raises(ValueError, match="response_field"):
        read(answer)


def test_plain_text_is_an_answer_and_a_page_is_none():
    assert FreeFormReader("").read_body(b" said so \n").content == "said so"
    for body in (b"<!DOCTYPE html><p>502</p>", b"<HTML>", b'{"text": "cu', b"", b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011  each has words of its own
            FreeFormReader("").read_body(body)


def test_errors_and_counts_of_the_server_are_read():
    assert read({"error": {"message": "too long"}}).error == "too long"
    counted = read({"text": "x", "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert counted.usage == Usage(3, 2)


def test_an_event_without_text_is_no_failure():
    """Role chunks, usage at the end, keep-alives: only what is no object is malformed."""
    reader = FreeFormReader("")
    assert reader.read_event(b'{"choices": [{"delta": {"role": "assistant"}}]}').content == ""
    assert reader.read_event(b'{"usage": {"input_tokens": 3}}').usage == Usage(3)
    two = b'{"usage": {"prompt_tokens": -1, "input_tokens": 5}}'
    assert reader.read_event(two).usage == Usage(5)
    assert reader.read_event(b"[DONE]") is None
