"""The contract of a tokenizer: exact, deterministic, and with no chance but what it is given."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steelyard.domain.bench.ports import Tokenizer
from steelyard.testing.contracts.kit import Contract, require

_TEXTS = ("a", "two words", "Grüße, 世界", "line\nbreak\ttab", "x" * 500, "🙂🙂")
_LENGTHS = (1, 2, 3, 7, 64, 550, 2048)


@dataclass(frozen=True)
class TokenizerSubject:
    """A tokenizer; `make` builds it when its class takes options."""

    cls: type[Tokenizer]
    make: Callable[[], Tokenizer] | None = None

    def new(self) -> Tokenizer:
        """Return a new tokenizer."""
        return self.make() if self.make is not None else self.cls()


class TokenizerContract(Contract):
    """Inherit, and override `subject` with a `TokenizerSubject`."""

    kind = "tokenizer"

    def test_a_text_of_n_tokens_counts_n(self, subject: TokenizerSubject) -> None:
        """Prompt lengths are exact: what `text_of` makes is what `count` counts."""
        tokenizer = subject.new()
        for seed, tokens in enumerate(_LENGTHS):
            text = tokenizer.text_of(tokens, np.random.Generator(np.random.Philox(seed)))
            counted = tokenizer.count(text)
            require(counted == tokens, f"text_of({tokens}) counts {counted} tokens")

    def test_counts_are_whole_and_repeat(self, subject: TokenizerSubject) -> None:
        """The same text counts the same, in this instance and another; no text counts below 1."""
        one, other = subject.new(), subject.new()
        for text in _TEXTS:
            count = one.count(text)
            require(type(count) is int, f"count({text!r}) is {count!r}, not an int")
            require(count >= 1, f"count({text!r}) is {count}")
            same = count == one.count(text) == other.count(text)
            require(same, f"count({text!r}) does not repeat")
        require(one.count("") == 0, f"the empty text counts {one.count('')} tokens")

    def test_a_longer_text_counts_no_less(self, subject: TokenizerSubject) -> None:
        """Saying a text twice does not lower its count."""
        tokenizer = subject.new()
        for text in _TEXTS:
            once, twice = tokenizer.count(text), tokenizer.count(f"{text} {text}")
            require(twice >= once, f"{text!r} counts {once}, twice over it counts {twice}")

    def test_text_depends_on_the_given_generator_only(self, subject: TokenizerSubject) -> None:
        """The same generator gives the same text, whatever was drawn elsewhere."""

        def draw(seed: int) -> str:
            return subject.new().text_of(40, np.random.Generator(np.random.Philox(seed)))

        first = draw(1)
        random.random()  # noqa: S311  disturbs the global generators on purpose
        np.random.random()  # noqa: NPY002  as above
        require(draw(1) == first, "text_of uses chance that it was not given")
        require(draw(2) != first, "text_of ignores the generator it is given")
