"""Tokenizers: the core's port, and a tokenizer by name."""

from typing import TYPE_CHECKING, Any

from steelyard.app.composition import standard_host

if TYPE_CHECKING:
    from steelyard.domain.bench.ports import Tokenizer

__all__ = ["create_tokenizer"]


def create_tokenizer(name: str = "builtin", **options: Any) -> "Tokenizer":
    """Return the tokenizer plugin called `name`.

    Raises:
        PluginError: there is none of that name, or it can't be made.
        ConfigError: `options` are wrong.
    """
    made: Tokenizer = standard_host().create("tokenizer", name, **options)
    return made
