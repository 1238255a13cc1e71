"""The built-in tokenizer: exact, reversible, close to what vocabularies do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer

TOKENIZER = BuiltinTokenizer()


@given(tokens=st.integers(0, 3000), seed=st.integers(0, 2**63))
def test_a_text_of_n_tokens_counts_n(tokens: int, seed: int) -> None:
    """Whatever the length and the seed."""
    text = TOKENIZER.text_of(tokens, np.random.Generator(np.random.Philox(seed)))
    assert TOKENIZER.count(text) == tokens
    assert len(text.split()) == tokens


@given(st.text())
def test_the_pieces_of_any_text_join_to_it(text: str) -> None:
    """No character is lost, and each piece is a token."""
    pieces = TOKENIZER.pieces(text)
    assert "".join(pieces) == text
    assert len(pieces) == TOKENIZER.count(text)
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello, world!", ["Hello", ",", " world", "!"]),
        ("internationalization", ["internatio", "nalization"]),
        ("in 1234 days", ["in", " 123", "4", " days"]),
        ("a  b\n\n", ["a", " ", " b", "\n\n"]),
        ("snake_case", ["snake", "_", "case"]),
        ("東京 はれ", ["東", "京", " は", "れ"]),
        ("naïve café", ["naïve", " café"]),
    ],
)
def test_the_rule_as_documented(text: str, pieces: list[str]) -> None:
    """Each line of the module's rule, by example."""
    assert TOKENIZER.pieces(text) == pieces
