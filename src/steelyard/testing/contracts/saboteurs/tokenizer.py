"""Tokenizers with one fault each, over one that counts words."""

import random
from typing import Any

import numpy as np

from steelyard.testing.contracts.tokenizer import TokenizerSubject


class WordTokenizer:
    """Conforms: a token is a word."""

    name = "words"

    def __init__(self, **options: Any) -> None:
        self.options = options

    def count(self, text: str) -> int:
        """Count words."""
        return len(text.split())

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """Return `tokens` words."""
        return " ".join(f"w{n}" for n in rng.integers(0, 9999, tokens))


class OneShort(WordTokenizer):
    """Makes texts that are a token short when they are long."""

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """As above, with the fault."""
        return super().text_of(tokens - (tokens > 100), rng)


class GlobalChance(WordTokenizer):
    """Draws from the process's generator."""

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """As above, with the fault."""
        return " ".join(f"w{random.randrange(9999)}" for _ in range(tokens))  # noqa: S311  the fault


class AlwaysTheSame(WordTokenizer):
    """Ignores its generator, so that every prompt hits the server's prefix cache."""

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """As above, with the fault."""
        return " ".join(f"w{n}" for n in range(tokens))


class FloatCounts(WordTokenizer):
    """Estimates."""

    def count(self, text: str) -> Any:
        """As above, with the fault."""
        return len(text.split()) * 1.0


class CountsOnce(WordTokenizer):
    """Remembers texts and calls the second sight free."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: set[str] = set()

    def count(self, text: str) -> int:
        """As above, with the fault."""
        if text in self.seen:
            return 0
        self.seen.add(text)
        return super().count(text)


HONEST = TokenizerSubject(WordTokenizer)

SABOTEURS = [
    ("test_a_text_of_n_tokens_counts_n", TokenizerSubject(OneShort)),
    ("test_text_depends_on_the_given_generator_only", TokenizerSubject(GlobalChance)),
    ("test_text_depends_on_the_given_generator_only", TokenizerSubject(AlwaysTheSame)),
    ("test_counts_are_whole_and_repeat", TokenizerSubject(FloatCounts)),
    ("test_counts_are_whole_and_repeat", TokenizerSubject(CountsOnce)),
]
