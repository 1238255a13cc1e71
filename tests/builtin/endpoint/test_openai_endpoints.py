"""What the OpenAI endpoints send."""

import json

import pytest

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.builtin.endpoint.completions import CompletionsEndpoint
from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.response import RequestContext

STREAMED = RequestContext(model="m", streaming=True)


def body(endpoint: ChatEndpoint | CompletionsEndpoint, *turns: Turn, context=STREAMED) -> dict:
    return json.loads(endpoint.build(turns, context).body)


def test_chat_sends_the_history_and_asks_for_usage() -> None:
    """System prompt, earlier turns and answers, then the turn; usage at the stream's end."""
    turns = (
        Turn(text="hi", system="be brief"),
        Turn(text="hello", role="assistant"),
        Turn(text="more", max_tokens=9),
    )
    sent = body(ChatEndpoint(EndpointPlan()), *turns)
    assert [m["role"] for m in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert sent["max_tokens"] == 9
    assert sent["stream_options"] == {"include_usage": True}


def test_the_turns_extra_goes_last_and_a_parents_never_leaks() -> None:
    """Precedence: body, endpoint extras, the dispatched turn's extra; nothing of other turns."""
    plan = EndpointPlan(extra_inputs={"temperature": 0.5, "top_p": 1})
    turns = (
        Turn(text="a", extra={"seed": 1, "temperature": 9}, max_tokens=5, model="other"),
        Turn(text="b", extra={"temperature": 0}),
    )
    sent = body(ChatEndpoint(plan), *turns)
    assert (sent["temperature"], sent["top_p"]) == (0, 1)
    assert sent["model"] == "m"
    assert "seed" not in sent
    assert "max_tokens" not in sent


@pytest.mark.parametrize(("texts", "prompt"), [((), "one"), (("a", "b"), ["a", "b"])])
def test_completions_sends_a_prompt_or_a_batch(texts: tuple[str, ...], prompt: object) -> None:
    """Several texts are one request with a list of prompts."""
    assert (
        body(CompletionsEndpoint(EndpointPlan()), Turn(text="one", texts=texts))["prompt"] == prompt
    )


def test_not_streamed_means_no_stream_options() -> None:
    """Servers refuse stream options without a stream."""
    sent = body(
        CompletionsEndpoint(EndpointPlan()),
        Turn(text="x"),
        context=RequestContext(model="m", streaming=False),
    )
    assert "stream" not in sent
    assert "stream_options" not in sent


def test_a_path_of_the_plan_replaces_the_endpoints() -> None:
    """`--endpoint /custom` is where requests go."""
    wire = ChatEndpoint(EndpointPlan(path="/custom")).build((Turn(text="x"),), STREAMED)
    assert wire.path == "/custom"
