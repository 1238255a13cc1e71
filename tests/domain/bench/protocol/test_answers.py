"""Answers of the interfaces beside OpenAI's completions: counts, reasoning, errors."""

import json

import pytest

from steelyard.domain.bench.protocol import anthropic, openai, responses, tgi, vectors
from steelyard.domain.bench.protocol.free_form import FreeFormReader
from steelyard.domain.bench.response import Usage


def encoded(**fields):
    return json.dumps(fields).encode()


@pytest.mark.parametrize("part", ["message", "delta"])
def test_a_call_of_a_tool_is_content_and_no_call_is_none(part):
    """Servers that know of tools send an empty list with every answer."""
    calls = [{"index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}]
    for given, content in ((calls, json.dumps(calls)), ([], ""), (None, "")):
        answer = encoded(choices=[{part: {"content": None, "tool_calls": given}}])
        assert openai.read_answer(answer).content == content
    said = encoded(choices=[{part: {"content": "x", "tool_calls": []}}])
    assert openai.read_answer(said).content == "x"


def test_a_refusal_is_content():
    """As it is in the responses interface: the model said it, token by token."""
    answer = encoded(choices=[{"delta": {"content": None, "refusal": "I can't"}}])
    assert openai.read_answer(answer).content == "I can't"


def test_an_error_that_is_the_whole_answer_is_the_servers():
    """The shape of vLLM before its errors had an `error` around them."""
    assert openai.read_answer(encoded(object="error", message="too long")).error == "too long"
    assert openai.read_answer(encoded(object="error", code=400)).error == "error"


def test_the_use_of_a_tool_is_content_of_messages():
    blocks = [{"type": "text", "text": "so:"}, {"type": "tool_use", "input": {"a": 1}}]
    assert anthropic.read_body(encoded(content=blocks)).content == 'so:{"a": 1}'


@pytest.mark.parametrize("count", [2**31, 10**30, -1])
def test_a_number_of_tokens_that_no_record_has_room_for_is_not_known(count):
    """One such answer ended the run."""
    unknown = Usage(-1, 1)
    usage = {"prompt_tokens": count, "completion_tokens": 1, "input_tokens": count,
             "output_tokens": 1}  # fmt: skip
    assert openai.read_answer(encoded(choices=[], usage=usage)).usage == unknown
    assert responses.read_body(encoded(output=[], usage=usage)).usage == unknown
    assert anthropic.read_body(encoded(content=[], usage=usage)).usage == unknown
    details = {"input_length": count, "generated_tokens": 1}
    assert tgi.read_body(encoded(generated_text="a", details=details)).usage == unknown
    assert FreeFormReader("").read_body(encoded(text="a", usage=usage)).usage == unknown
    vector = [{"embedding": [1]}]
    assert vectors.read_embeddings(encoded(data=vector, usage=usage)).usage == Usage(-1, 0)


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
