"""The real server is what the other tests here take it for."""

import json

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.network]


def test_it_counts_the_tokens_that_it_says_it_sent(llama_server):
    before = llama_server.counter("tokens_predicted_total")
    answer = json.loads(
        llama_server.ask("/v1/completions", {"prompt": "One two three", "max_tokens": 7})
    )
    assert answer["usage"]["completion_tokens"] == 7
    assert llama_server.counter("tokens_predicted_total") - before == 7


def test_its_tokenizer_agrees_with_its_usage_up_to_the_opening_token(llama_server):
    answer = json.loads(
        llama_server.ask("/v1/completions", {"prompt": "One two three", "max_tokens": 1})
    )
    assert answer["usage"]["prompt_tokens"] == llama_server.token_count("One two three") + 1
