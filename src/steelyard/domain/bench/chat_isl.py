"""The input length of chat requests as a server counts it: with the tokens of the chat template."""

import msgspec

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.ports import ChatTokenizer
from steelyard.domain.bench.protocol.openai import chat_messages, latest_tools

_ANSWER = Turn(text="", role="assistant")


def with_template(conversation: Conversation, tokenizer: ChatTokenizer) -> Conversation:
    """Return the conversation with each turn's `input_tokens` counted through the template.

    A turn gets what it adds to the request, the frame of the answer before it included, so that
    the sum over the turns and the answers' own tokens is the request's length. Turns that the
    template refuses keep their count.
    """
    history: list[Turn] = []
    turns: list[Turn] = []
    before = 0
    for turn in conversation.turns:
        history += [_ANSWER, turn] if history else [turn]
        total = tokenizer.count_chat(chat_messages(history), latest_tools(history))
        if total < before:
            turns.append(turn)
            continue
        turns.append(msgspec.structs.replace(turn, input_tokens=total - before))
        before = total
    return msgspec.structs.replace(conversation, turns=tuple(turns))
