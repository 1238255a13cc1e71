"""The word list is what synthetic prompts rely on."""

from steelyard.domain.bench.words import WORDS


def test_words_are_different_short_and_plain() -> None:
    """1,024 different lower-case ASCII words of two to ten letters."""
    assert len(WORDS) == len(set(WORDS)) == 1024
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)
    assert {len(word) for word in WORDS} <= set(range(2, 11))
