"""A model's own tokenizer, from its `tokenizer.json`, through the `tokenizers` package."""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.protocol.chat_template import ChatTemplate
from steelyard.domain.bench.words import WORDS
from steelyard.kernel.errors import PluginError, UsageError

_FILE = "tokenizer.json"
_CONFIG = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"
_TRIES = 16


class TokenizerJson:
    """Counts with a `tokenizer.json`; special tokens (begin, end) are not counted.

    The chat template is that of `chat_template.jinja` or `tokenizer_config.json` beside it.

    Args:
        path: the file, or a directory that has it.
        package: an installed Python package that carries one, used when `path` is empty.

    Raises:
        PluginError: the `tokenizers` package is missing.
        UsageError: no file, or one that can't be read.
    """

    name = "tokenizer_json"

    def __init__(self, *, path: str = "", package: str = "") -> None:
        """Load the file."""
        try:
            tokenizers = import_module("tokenizers")
        except ImportError:
            raise PluginError(
                "The tokenizer 'tokenizer_json' needs the package 'tokenizers'",
                next_step="Install it: pip install 'steelyard[tokenizers]'",
            ) from None
        self._file = _find(path, package)
        # Parsed from text: the library then reads no other file and no network.
        self._tokenizer: Any = tokenizers.Tokenizer.from_str(_read(self._file))
        self._template = _chat_template(self._file.parent)
        self.has_chat_template = self._template is not None
        self._first: list[str] = []
        self._rest: list[str] = []

    def count(self, text: str) -> int:
        """Return how many tokens `text` has."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> int:
        """Return the tokens of a chat request through the template, special ones included.

        -1 when there is no template, or it refuses these messages.
        """
        text = None if self._template is None else self._template.render(messages, tools)
        return -1 if text is None else self.count(text)

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """Return words whose `count` is exactly `tokens`.

        Raises:
            UsageError: the vocabulary has too few of our words as single tokens to make it.
        """
        if tokens <= 0:
            return ""
        self._choose_words()
        words = [self._first[int(rng.integers(len(self._first)))]]
        drawn = rng.integers(0, len(self._rest), tokens - 1).tolist() if tokens > 1 else []
        words += [self._rest[at] for at in drawn]
        for _ in range(_TRIES):
            text = " ".join(words)
            over = self.count(text) - tokens
            if over == 0:
                return text
            if over > 0:
                del words[max(1, len(words) - over) :]
            else:
                words += [self._rest[at] for at in rng.integers(0, len(self._rest), -over).tolist()]
        raise self._too_poor()

    def _choose_words(self) -> None:
        """Keep the words that are one token, at the start of a text and inside it."""
        if self._first:
            return
        alone = [self.count(word) for word in WORDS]
        first = [word for word, count in zip(WORDS, alone, strict=True) if count == 1]
        if first:
            start = first[0]
            rest = [word for word in WORDS if self.count(f"{start} {word}") == 2]  # start and word
            if rest:
                self._first, self._rest = first, rest
                return
        raise self._too_poor()

    def _too_poor(self) -> UsageError:
        return UsageError(
            f"Can't make prompts of an exact length with {self._file}",
            expected="a vocabulary with common English words",
            next_step="Use the tokenizer 'builtin', or a dataset from a file.",
        )


def _find(path: str, package: str) -> Path:
    if path:
        given = Path(path).expanduser()
        file = given / _FILE if given.is_dir() else given
        if not file.is_file():
            raise UsageError(f"There is no {_FILE} at {path}", expected="a file or its directory")
        return file
    if not package:
        raise UsageError(
            "The tokenizer 'tokenizer_json' was told no file",
            expected="the option 'path' (file or directory) or 'package' (installed package)",
        )
    # Only a top-level package: find_spec of a dotted name would import its parents.
    spec = importlib.util.find_spec(package.partition(".")[0].replace("-", "_"))
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        found = sorted(Path(place).rglob(_FILE))
        if found:
            return found[0]
    raise UsageError(
        f"The package '{package}' is not installed or carries no {_FILE}",
        next_step=f"Try: pip install {package}",
    )


def _chat_template(folder: Path) -> ChatTemplate | None:
    """Return the template of a model's folder; None when it has none that can be used.

    Raises:
        UsageError: its configuration can't be read.
    """
    config, template = folder / _CONFIG, folder / _TEMPLATE
    try:
        given = msgspec.json.decode(config.read_bytes()) if config.is_file() else {}
        source = template.read_text(encoding="utf-8") if template.is_file() else ""
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as problem:
        raise _unreadable(config, str(problem)) from problem
    try:
        return ChatTemplate(given if isinstance(given, dict) else {}, source)
    except ValueError:
        return None


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        fields = msgspec.json.decode(text)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as problem:
        raise _unreadable(file, str(problem)) from problem
    if not isinstance(fields, dict) or "model" not in fields:
        raise _unreadable(file, "no field 'model'")
    return text


def _unreadable(file: Path, why: str) -> UsageError:
    return UsageError(
        f"Can't read {file} as a {_FILE}",
        got=why.partition("\n")[0][:200],
        expected="a file written by Hugging Face's tokenizers",
    )
