"""A model's chat template: how its tokenizer turns messages into one text.

Source: Hugging Face transformers, "Chat templates": Jinja with `messages`, `tools`,
`add_generation_prompt` and the special tokens; a template refuses messages by `raise_exception`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from steelyard.domain.bench.protocol.body_template import to_json

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")


class ChatTemplate:
    """Renders messages as the server would, up to where the answer begins.

    Args:
        config: of the tokenizer, as `tokenizer_config.json` has it.
        source: the template, where it is in a file of its own.

    Raises:
        ValueError: there is no template, or it is none.
    """

    def __init__(self, config: Mapping[str, Any], source: str = "") -> None:
        text = source or _source(config.get("chat_template"))
        if not text:
            message = "the tokenizer has no chat template"
            raise ValueError(message)
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = to_json
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(text)
        except TemplateError as error:
            raise ValueError(str(error)) from None
        self._tokens = {name: _content(config.get(name)) for name in SPECIAL_TOKENS}

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> str | None:
        """Return the text; None when the template refuses these messages."""
        try:
            return self._template.render(
                messages=messages, tools=tools, add_generation_prompt=True, **self._tokens
            )
        except (TemplateError, TypeError, ValueError, KeyError):
            return None


def _source(given: Any) -> str:
    """Return the template; of several, the one that is named `default`."""
    if isinstance(given, list):
        named = {item.get("name"): item.get("template") for item in given if isinstance(item, dict)}
        given = named.get("default")
    return given if isinstance(given, str) else ""


def _content(token: Any) -> str:
    """Return a special token's text: itself, or the `content` of an object."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
