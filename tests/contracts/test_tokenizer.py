"""Our tokenizers keep the contract that a stranger's must keep."""

import pytest

from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.testing.contracts.tokenizer import TokenizerContract, TokenizerSubject


class TestBuiltinTokenizer(TokenizerContract):
    """The tokenizer without data files."""

    @pytest.fixture
    def subject(self) -> TokenizerSubject:
        return TokenizerSubject(BuiltinTokenizer)
