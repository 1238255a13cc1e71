"""What each endpoint sends, and the rules of extras that hold for all of them."""

import json

import pytest
from endpoint_samples import SAMPLES

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.response import RequestContext
from steelyard.runtime.plugin_host import PluginHost

HOST = PluginHost.standard()
WHOLE = RequestContext(model="m", streaming=False)
STREAMED = RequestContext(model="m", streaming=True)
PASSAGES = Turn(text="which?", texts=("this", "that"), max_tokens=5)


def request(name, *turns, context=WHOLE, **plan):
    endpoint = HOST.create("endpoint", name, EndpointPlan(**plan))
    return endpoint.build(turns, context)


def body(name, *turns, context=WHOLE, **plan):
    return json.loads(request(name, *turns, context=context, **plan).body)


@pytest.mark.parametrize(
    ("name", "path", "sent"),
    [
        ("nim_rankings", "/v1/ranking", {
            "model": "m", "query": {"text": "which?"},
            "passages": [{"text": "this"}, {"text": "that"}],
        }),
        ("cohere_rankings", "/v2/rerank", {
            "model": "m", "query": "which?", "documents": ["this", "that"],
        }),
        ("hf_tei_rankings", "/rerank", {"query": "which?", "texts": ["this", "that"]}),
    ],
)  # fmt: skip
def test_a_query_and_its_passages_are_ranked(name, path, sent):
    """The text is the query, the texts are what is ranked; a token limit means nothing here."""
    assert body(name, PASSAGES) == sent
    assert request(name, PASSAGES).path == path


def test_embeddings_always_send_a_list():
    assert body("embeddings", Turn(text="a")) == {"model": "m", "input": ["a"]}
    assert body("embeddings", Turn(texts=("a", "b"), model="x")) == {
        "model": "x", "input": ["a", "b"],
    }  # fmt: skip


def test_nim_embeds_a_query_unless_told_otherwise():
    assert body("nim_embeddings", Turn(text="a"))["input_type"] == "query"
    told = body("nim_embeddings", Turn(text="a"), extra_inputs={"input_type": "passage"})
    assert told["input_type"] == "passage"


def test_a_conversation_is_embedded_whole():
    turns = (Turn(text="a", system="s"), Turn(text="b"))
    assert [m["content"] for m in body("chat_embeddings", *turns)["messages"]] == ["s", "a", "b"]


def test_generate_puts_limits_below_parameters_and_extras_at_the_top():
    turn = Turn(text="a", max_tokens=5, extra={"seed": 1})
    sent = body("huggingface_generate", turn, extra_inputs={"adapter_id": "x"})
    assert sent == {
        "inputs": "a", "parameters": {"max_new_tokens": 5, "details": True}, "adapter_id": "x",
        "seed": 1,
    }  # fmt: skip
    assert request("huggingface_generate", turn).path == "/generate"
    assert request("huggingface_generate", turn, context=STREAMED).path == "/generate_stream"


def test_responses_have_names_of_their_own_for_input_and_limit():
    sent = body("responses", Turn(text="a", max_tokens=5), context=STREAMED)
    assert sent == {
        "model": "m", "input": [{"role": "user", "content": "a"}], "stream": True,
        "max_output_tokens": 5,
    }  # fmt: skip


def test_messages_keep_the_system_prompt_apart_and_always_have_a_limit():
    sent = body("messages", Turn(text="a", system="s"))
    assert sent == {
        "model": "m", "max_tokens": 1024, "system": "s",
        "messages": [{"role": "user", "content": "a"}],
    }  # fmt: skip
    headers = request("messages", Turn(text="a")).headers
    assert ("anthropic-version", "2023-06-01") in headers
    ours = request("messages", Turn(text="a"), headers=(("Anthropic-Version", "x"),)).headers
    assert [value for name, value in ours if name.lower() == "anthropic-version"] == ["x"]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "raw"])
def test_only_the_dispatched_turn_controls_its_request(name):
    """Extras, limit and model of a parent turn never reach the child's request."""
    plan = SAMPLES[name].get("plan", EndpointPlan())
    parent = Turn(text="a", texts=("x",), extra={"knob": 1}, max_tokens=99_991, model="parent")
    child = Turn(text="b", texts=("y",), extra={"own": {"deep": 2}})
    endpoint = HOST.create("endpoint", name, plan)
    sent = endpoint.build((parent, child), WHOLE).body
    assert json.loads(sent)["own"] == {"deep": 2}
    assert b"knob" not in sent
    assert b"99991" not in sent
    assert b'"parent"' not in sent


@pytest.mark.parametrize("name", ["chat", "chat_embeddings", "responses", "messages"])
def test_tools_hold_until_a_turn_declares_others(name):
    """Like a system prompt: the latest declaration counts, however long ago it was."""
    first, second = [{"name": "one"}], [{"name": "two"}]
    turns = [Turn(text="a", raw_tools=first), Turn(text="b"), Turn(text="c", raw_tools=second)]
    assert body(name, *turns[:2])["tools"] == first
    assert body(name, *turns)["tools"] == second
    assert "tools" not in body(name, Turn(text="a"))


def test_an_extra_may_replace_what_the_endpoint_wrote():
    turn = Turn(text="a", extra={"messages": [], "model": "other"})
    assert body("chat", turn)["messages"] == []
    assert body("chat", turn)["model"] == "other"


def test_the_merge_is_shallow():
    turn = Turn(text="a", extra={"deep": {"b": 2}})
    assert body("chat", turn, extra_inputs={"deep": {"a": 1}})["deep"] == {"b": 2}


def test_a_path_of_the_plan_replaces_the_endpoints():
    assert ChatEndpoint(EndpointPlan(path="/x")).build((Turn(text="a"),), WHOLE).path == "/x"


@pytest.mark.parametrize("spec", HOST.specs("endpoint"), ids=lambda spec: spec.name)
def test_the_manifest_says_where_requests_go(spec):
    """`endpoint_path` of the metadata is the path that is sent, where there is one."""
    cls = HOST.load("endpoint", spec.name)
    assert spec.metadata["endpoint_path"] == cls.path
    assert {"supports_streaming", "produces_tokens", "tokenizes_input", "metrics_title"} <= set(
        spec.metadata
    )
