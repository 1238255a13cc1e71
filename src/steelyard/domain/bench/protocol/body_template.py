"""Request bodies from a Jinja template: sandboxed, and without clock or chance.

Source of the language: the Jinja template designer documentation.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.protocol.openai import chat_messages, latest_tools
from steelyard.domain.bench.response import RequestContext
from steelyard.kernel.errors import UsageError

VARIABLES = (
    "text", "texts", "query", "passages", "messages", "system", "role", "tools", "turn", "turns",
    "model", "max_tokens", "stream", "extra",
)  # fmt: skip
"""What a template may name. `text` is the first of `texts`; `turn` is the last of `turns`."""

NAMED = {
    "nv-embedqa": '{"text": {{ texts|tojson }}, "model": {{ model|tojson }}}',
}
"""Templates that go by a name."""

_PROBE = Turn(text='a "quoted" line\nand \u4e16\u754c', texts=('one "1"', "two"), max_tokens=1)
_SHOWN_MAX = 120


class BodyTemplate:
    """Makes the JSON body of a request.

    Args:
        source: the template's text.

    Raises:
        UsageError: it is no template, names an unknown variable, or makes no JSON object; tried
            with a text of quotes and line breaks, so that a forgotten `|tojson` shows at once.
    """

    def __init__(self, source: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.pop("random", None)
        environment.globals.pop("lipsum", None)
        environment.policies["json.dumps_function"] = to_json
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise _wrong(str(error), source) from None
        self.render((_PROBE,), RequestContext(model="m", streaming=False))

    def render(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """Return the body for the last turn.

        Raises:
            UsageError: as above, for this very turn.
        """
        try:
            text = self._template.render(_variables(history, context))
        except (TemplateError, TypeError, ValueError) as error:
            raise _wrong(f"{type(error).__name__}: {error}", "") from None
        try:
            body = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise _wrong(str(error), text) from None
        if not isinstance(body, dict):
            raise _wrong("the JSON is no object", text)
        return body


def to_json(value: Any, **options: Any) -> str:
    """Encode; what is undefined says its name, as it does when it is written."""
    return json.dumps(value, default=str, **options)


def _variables(history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
    turn = history[-1]
    texts = [turn.text, *turn.texts] if turn.text else list(turn.texts)
    turns = [msgspec.to_builtins(earlier) for earlier in history]
    values = {
        "text": texts[0] if texts else "",
        "texts": texts,
        "query": turn.text,
        "passages": list(turn.texts),
        "messages": chat_messages(history),
        "system": history[0].system,
        "role": turn.role,
        "tools": latest_tools(history),
        "turn": turns[-1],
        "turns": turns,
        "model": turn.model or context.model,
        "max_tokens": turn.max_tokens,
        "stream": context.streaming,
        "extra": turn.extra,
    }
    return {name: values[name] for name in VARIABLES}


def _wrong(why: str, shown: str) -> UsageError:
    return UsageError(
        f"The payload_template does not make a request body: {why}",
        got=shown[:_SHOWN_MAX] or None,
        expected="a Jinja template of a JSON object; put texts in with {{ text|tojson }}",
        next_step="It may name " + ", ".join(VARIABLES) + ".",
    )
