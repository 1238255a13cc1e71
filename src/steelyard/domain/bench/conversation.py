"""What a dataset yields: conversations of turns."""

from typing import Any

import msgspec


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request's content, before an endpoint shapes it.

    Attributes:
        text: the prompt, or the user's message.
        texts: several inputs of one request (embeddings, batches), `text` then being empty; beside
            `text` as a query, the passages that are ranked.
        role: who speaks, for chat endpoints.
        messages: complete chat messages, replacing `text` when not None.
        system: system prompt in front of the conversation.
        model: overrides the plan's model for this turn.
        max_tokens: output tokens asked for (the requested OSL).
        input_tokens: what this turn adds to the ISL as the dataset counted it, -1 when it did not;
            a conversation's ISL is the sum over its turns and the answers between them.
        delay_ms: wait before this turn, after the previous turn ended.
        timestamp_ms: offset at which a trace sent it.
        extra: merged last into the request body of this very turn.
        raw_tools: tool definitions; they hold for later turns too, until one declares others.
        raw_payload: the body to send verbatim (endpoint `raw`).
    """

    text: str = ""
    texts: tuple[str, ...] = ()
    role: str = "user"
    messages: list[dict[str, Any]] | None = None
    system: str = ""
    model: str = ""
    max_tokens: int | None = None
    input_tokens: int = -1
    delay_ms: float = 0.0
    timestamp_ms: float | None = None
    extra: dict[str, Any] = {}
    raw_tools: list[dict[str, Any]] | None = None
    raw_payload: dict[str, Any] | None = None


class Conversation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session: turns in order, each sent after the one before it was answered."""

    id: str
    turns: tuple[Turn, ...]


def scaled(conversation: Conversation, ratio: float) -> Conversation:
    """Return a conversation whose waits are multiplied by `ratio`."""
    turns = tuple(
        msgspec.structs.replace(turn, delay_ms=turn.delay_ms * ratio) for turn in conversation.turns
    )
    return msgspec.structs.replace(conversation, turns=turns)
