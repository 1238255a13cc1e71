"""What each of our endpoints is held to: sample answers of the interface it speaks."""

import json
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan

PROMPT = 'Grüße, 世界: "weigh" this'


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _chunk(**delta: Any) -> bytes:
    return _json(choices=[{"index": 0, "delta": delta}])


def _openai_usage() -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": 2}


_VECTOR = {"index": 0, "object": "embedding", "embedding": [0.5, -0.25]}
_EMBEDDINGS = {
    "body": _json(object="list", data=[_VECTOR], usage={"prompt_tokens": 3, "total_tokens": 3})
}
_RANKED = {"prompt": Turn(text=PROMPT, texts=("first", "second"), max_tokens=7)}
_MESSAGE = {"role": "assistant", "content": "one two"}
_TEMPLATE = '{"q": {{ text|tojson }}, "n": {{ max_tokens or 0 }}, "m": {{ model|tojson }}}'

SAMPLES: dict[str, dict[str, Any]] = {
    "chat": {
        "body": _json(choices=[{"index": 0, "message": _MESSAGE}], usage=_openai_usage()),
        "events": (
            _chunk(role="assistant", content=None),
            _chunk(content="one"),
            _chunk(content=" two"),
            _json(choices=[], usage=_openai_usage()),
            b"[DONE]",
        ),
        "text": "one two",
    },
    "completions": {
        "body": _json(choices=[{"index": 0, "text": "one two"}]),
        "events": (
            _json(choices=[{"text": "one"}]), _json(choices=[{"text": " two"}]), b"[DONE]",
        ),
        "text": "one two",
    },
    "responses": {
        "body": _json(
            status="completed",
            output=[
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "one"}]},
                {"type": "message", "content": [{"type": "output_text", "text": " two"}]},
            ],
            usage={"input_tokens": 3, "output_tokens": 2},
        ),
        "events": (
            _json(type="response.created", response={"status": "in_progress"}),
            _json(type="response.reasoning_summary_text.delta", delta="one"),
            _json(type="response.output_text.delta", delta=" two"),
            _json(
                type="response.completed",
                response={"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}},
            ),
        ),
        "text": "one two",
    },
    "messages": {
        "body": _json(
            content=[{"type": "thinking", "thinking": "one"}, {"type": "text", "text": " two"}],
            stop_reason="end_turn",
            usage={"input_tokens": 3, "output_tokens": 2},
        ),
        "events": (
            _json(type="message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}}),
            _json(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
            _json(type="content_block_delta", delta={"type": "thinking_delta", "thinking": "one"}),
            _json(type="content_block_delta", delta={"type": "text_delta", "text": " two"}),
            _json(type="message_delta", delta={"stop_reason": "end"}, usage={"output_tokens": 2}),
            _json(type="message_stop"),
        ),
        "text": "one two",
    },
    "huggingface_generate": {
        "body": _json(generated_text="one two", details={"generated_tokens": 2}),
        "events": (
            _json(token={"text": "one", "special": False}),
            _json(token={"text": " two", "special": False}),
            _json(
                token={"text": "</s>", "special": True},
                generated_text="one two",
                details={"finish_reason": "eos_token", "generated_tokens": 3},
            ),
        ),
        "text": "one two",
    },
    "embeddings": _EMBEDDINGS,
    "nim_embeddings": _EMBEDDINGS,
    "chat_embeddings": _EMBEDDINGS,
    "nim_rankings": {**_RANKED, "body": _json(rankings=[{"index": 1, "logit": -2.5}])},
    "cohere_rankings": {**_RANKED, "body": _json(results=[{"index": 1, "relevance_score": 0.5}])},
    "hf_tei_rankings": {**_RANKED, "body": b'[{"index": 1, "score": 0.5}]'},
    "template": {
        "plan": EndpointPlan(options={"payload_template": _TEMPLATE, "response_field": "out.said"}),
        "body": _json(out={"said": "one two"}),
        "events": (_json(out={"said": "one"}), _json(out={"said": " two"}), b"[DONE]"),
        "text": "one two",
    },
    "raw": {
        "prompt": Turn(text=PROMPT, raw_payload={"messages": [PROMPT]}, max_tokens=7),
        "merges_extra": False,
        "body": _json(choices=[{"index": 0, "message": _MESSAGE}]),
        "events": (
            _chunk(role="assistant"), _chunk(content="one"), _chunk(content=" two"), b"[DONE]",
        ),
        "text": "one two",
    },
}  # fmt: skip
