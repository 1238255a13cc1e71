"""Tokenizers from `tokenizer.json`: with the extra exact, without it one clear line."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.builtin.tokenizer.tokenizer_json import TokenizerJson
from steelyard.domain.bench.words import WORDS
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.testing.components import require_component


@pytest.fixture
def library() -> Any:
    require_component(
        "tokenizers", module="tokenizers", install="pip install 'steelyard[tokenizers]'"
    )
    import tokenizers

    return tokenizers


@pytest.fixture
def vocabulary(library: Any, tmp_path: Path) -> Path:
    """Return a word-level tokenizer file; one word of ours in nine is unknown to it."""
    words = {word: number for number, word in enumerate(WORDS) if number % 9}
    model = library.models.WordLevel({"[UNK]": 5000, **words}, unk_token="[UNK]")
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_texts_are_exact(vocabulary: Path) -> None:
    """By file and by directory, for short and long texts."""
    for path in (vocabulary, vocabulary.parent):
        tokenizer = TokenizerJson(path=str(path))
        for tokens in (0, 1, 2, 77, 1000):
            text = tokenizer.text_of(tokens, np.random.Generator(np.random.Philox(tokens)))
            assert tokenizer.count(text) == tokens


def test_words_that_are_several_tokens_are_not_drawn(library: Any, tmp_path: Path) -> None:
    """With a byte-level vocabulary of a few merges, only whole words are used."""
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    merges = []
    for left, right in (("o", "f"), ("t", "o"), ("Ġ", "of"), ("Ġ", "to")):
        merges.append((left, right))
        vocabulary[left + right] = len(vocabulary)
    tokenizer = library.Tokenizer(library.models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    ours = TokenizerJson(path=str(path))
    text = ours.text_of(40, np.random.Generator(np.random.Philox(1)))
    assert ours.count(text) == 40
    assert set(text.split()) <= {"of", "to"}


def test_a_package_can_carry_the_file(
    vocabulary: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name of an installed package is enough, dashes or not."""
    package = tmp_path / "site" / "some_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "tokenizer.json").write_text(vocabulary.read_text())
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert TokenizerJson(package="some-model").count("the of") == 2


def test_without_the_extra_one_line_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback: what is missing and the command."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(PluginError) as caught:
        TokenizerJson(path="x")
    assert "pip install 'steelyard[tokenizers]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_told(library: Any, tmp_path: Path) -> None:
    """No file named, none there, or one that is something else."""
    with pytest.raises(UsageError, match="'path'"):
        TokenizerJson()
    with pytest.raises(UsageError, match="/nowhere"):
        TokenizerJson(path="/nowhere")
    with pytest.raises(UsageError, match="no_such_package"):
        TokenizerJson(package="no_such_package")
    for text in ("{", '{"a": 1}'):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(UsageError, match=r"tokenizer\.json"):
            TokenizerJson(path=str(tmp_path))
