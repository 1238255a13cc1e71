"""Prompts from blocks, with a tokenizer that merges over the border of two blocks."""

from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.blocks import BlockTexts


class Merging(BuiltinTokenizer):
    """Counts a token less for every sixteenth word, as if merges had crossed borders."""

    def count(self, text):
        words = len(text.split())
        return words - words // 16


def test_a_prompt_makes_up_for_what_the_borders_took():
    text, counted = BlockTexts(Merging(), 42, 16).prompt(60, [1, 2, 3, 4])
    assert counted == Merging().count(text) == 60


def test_a_block_is_drawn_once():
    """Asking for it again gives the same words."""
    blocks = BlockTexts(BuiltinTokenizer(), 42, 4)
    assert blocks.prompt(8, [5, 6]) == blocks.prompt(8, [5, 6])
    assert blocks.prompt(4, [5])[0] == blocks.prompt(8, [5, 6])[0].rsplit(" ", 4)[0]
