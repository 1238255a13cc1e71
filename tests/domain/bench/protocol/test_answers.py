"""Answers of the interfaces beside OpenAI's completions: counts, reasoning, errors."""

import json

import pytest

from steelyard.domain.bench.protocol import anthropic, responses, tgi, vectors
from steelyard.domain.bench.response import Usage


def encoded(**fields):
    return json.dumps(fields).encode()


def test_an_embedding_has_no_output_tokens():
    """So that nothing is counted where nothing was generated."""
    answer = encoded(data=[{"embedding": "AAAA"}], usage={"prompt_tokens": 4, "total_tokens": 4})
    assert vectors.read_embeddings(answer).usage == Usage(4, 0)


@pytest.mark.parametrize("data", [[], None, [{"embedding": []}], [{"embedding": {}}], [{}]])
def test_an_answer_without_embeddings_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011  two sources of it, msgspec's and ours
        vectors.read_embeddings(encoded(data=data))


@pytest.mark.parametrize(
    "answer", [b"[]", b"{}", b'{"results": []}', b'[{"index": 0}]', b'{"rankings": [{"logit": 1}]}']
)
def test_rankings_without_scores_are_refused(answer):
    with pytest.raises(ValueError):  # noqa: PT011  as above
        vectors.read_rankings(answer)


@pytest.mark.parametrize(
    "read",
    [
        *(vectors.read_embeddings, vectors.read_rankings, tgi.read_body, tgi.read_event),
        *(responses.read_body, anthropic.read_body),
    ],
)
def test_an_error_inside_a_200_is_the_servers(read):
    assert read(encoded(error="overloaded")).error == "overloaded"


def test_a_failed_response_says_why():
    failed = encoded(type="response.failed", response={"error": {"message": "no memory"}})
    assert responses.read_event(failed).error == "no memory"
    assert responses.read_event(encoded(type="error", message="slow down")).error == "slow down"


def test_usage_of_a_response_has_its_details():
    usage = {
        "input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    done = encoded(type="response.completed", response={"status": "completed", "usage": usage})
    assert responses.read_event(done).usage == Usage(9, 7, 5, 4)
    assert responses.read_body(encoded(output=[], usage=usage)).usage == Usage(9, 7, 5, 4)


def test_a_function_call_is_content():
    item = {"type": "function_call", "name": "f", "arguments": '{"a": 1}'}
    assert responses.read_body(encoded(output=[item])).content == '{"a": 1}'


def test_messages_count_the_cache_into_the_input():
    """The interface leaves cached tokens out of `input_tokens`; the prompt is all of them."""
    usage = {"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5,
             "output_tokens": 1}  # fmt: skip
    start = anthropic.read_event(encoded(type="message_start", message={"usage": usage}))
    assert start.usage == Usage(37, -1, -1, 30)
    assert anthropic.read_body(encoded(content=[], usage=usage)).usage == Usage(37, 1, -1, 30)


def test_pings_say_nothing_and_an_error_event_fails_the_request():
    assert anthropic.read_event(encoded(type="ping")).content == ""
    error = encoded(type="error", error={"type": "overloaded_error", "message": "overloaded"})
    assert anthropic.read_event(error).error == "overloaded"


def test_special_tokens_are_no_content():
    end = encoded(token={"text": "</s>", "special": True}, details={"generated_tokens": 3})
    assert tgi.read_event(end).content == ""
    assert tgi.read_event(end).usage == Usage(-1, 3)


def test_generate_of_older_servers_is_a_list_of_one():
    assert tgi.read_body(b'[{"generated_text": "x"}]').content == "x"
    with pytest.raises(ValueError, match="generated_text"):
        tgi.read_body(b"[]")
