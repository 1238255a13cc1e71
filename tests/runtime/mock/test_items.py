"""Embeddings and rankings of the simulated server, asked over a socket."""

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from steelyard.domain.bench.protocol import vectors
from steelyard.runtime.mock.items import PATHS
from steelyard.runtime.mock.server import MockServer

RANKED = {
    "/v1/ranking": {"query": {"text": "a b"}, "passages": [{"text": "c"}, {"text": "d e"}]},
    "/v1/rerank": {"query": "a b", "documents": ["c", {"text": "d e"}]},
    "/v2/rerank": {"query": "a b", "documents": ["c", "d e"]},
    "/rerank": {"query": "a b", "texts": ["c", "d e"]},
}


def post(url, payload):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


async def asked(path, payload):
    server = MockServer()
    await server.start()
    try:
        return await asyncio.to_thread(post, server.url + path, payload)
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("given", "items", "words"),
    [
        ({"input": "one two"}, 1, 2),
        ({"input": ["one two", "three"]}, 2, 3),
        ({"input": [1, 2, 3]}, 1, 3),
        ({"messages": [{"role": "user", "content": "one two"}]}, 1, 2),
    ],
)
async def test_each_input_gets_a_vector(given, items, words):
    """And the usage counts the words of all of them."""
    status, body = await asked("/v1/embeddings", {"model": "m", **given})
    assert status == 200
    assert len(json.loads(body)["data"]) == items
    usage = vectors.read_embeddings(body).usage
    assert (usage.input_tokens, usage.output_tokens) == (words, 0)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/v1/embeddings"])
async def test_each_passage_gets_a_score(path):
    status, body = await asked(path, {"model": "m", **RANKED[path]})
    assert status == 200
    piece = vectors.read_rankings(body)
    assert piece.usage is None or piece.usage.input_tokens == 5
    answer = json.loads(body)
    ranks = answer if isinstance(answer, list) else answer.get("rankings") or answer["results"]
    assert [rank["index"] for rank in ranks] == [0, 1]


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("/v1/embeddings", {"model": "m"}),
        ("/v1/embeddings", {"input": []}),
        ("/v1/embeddings", {"input": [0.5]}),
        ("/rerank", {"query": "a"}),
        ("/rerank", {"texts": ["a"]}),
        ("/rerank", b"{"),
    ],
)
async def test_a_request_without_inputs_is_refused(path, payload):
    status, body = await asked(path, payload)
    assert status == 400
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
