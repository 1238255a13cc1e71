"""A tokenizer without data files, close to what byte-pair vocabularies do with English.

The rule, applied from left to right, first match wins; each match is one token:

1. an optional space, then one character of a script written without spaces (kana, CJK, hangul);
2. an optional space, then up to ten letters;
3. an optional space, then up to three digits;
4. an optional space, then one other visible character (punctuation, symbol, underscore);
5. white space: a run up to the last one before a visible character, else the run.

So common words are one token each, longer ones a token for every ten letters, and numbers a token
for every three digits.
"""

import re

import numpy as np

from steelyard.domain.bench.words import WORDS

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"

_TOKEN = re.compile(
    rf" ?[{_UNSPACED}]| ?(?:(?![{_UNSPACED}])[^\W\d_]){{1,10}}| ?\d{{1,3}}| ?(?:[^\w\s]|_)"
    r"|\s+(?!\S)|\s+"
)


class BuiltinTokenizer:
    """Splits by the rule of this module."""

    name = "builtin"

    def __init__(self) -> None:
        """There is nothing to load."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` has."""
        return len(_TOKEN.findall(text))

    def pieces(self, text: str) -> list[str]:
        """Return the tokens of `text` as texts that join to `text`."""
        return _TOKEN.findall(text)

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """Return `tokens` common words with a space between; each is one token."""
        if tokens <= 0:
            return ""
        return " ".join([WORDS[at] for at in rng.integers(0, len(WORDS), tokens).tolist()])
