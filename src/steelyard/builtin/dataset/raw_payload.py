"""Whole request bodies, for the endpoint `raw`.

A file: each line is the body of one conversation's only request. A directory: each `.jsonl` file,
in the order of their names, is a conversation, and each of its lines a turn.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError
from steelyard.runtime.line_file import LineFile


class RawPayloadDataset:
    """Reads line by line; a body is a JSON object, and what is in it is the user's business.

    Raises:
        UsageError: there is no such file or directory; while reading, a line is no JSON object.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the files; nothing is read yet. Nothing is counted or drawn."""
        del tokenizer, seed
        given = Path(plan.path).expanduser()
        self._is_directory = bool(plan.path) and given.is_dir()
        files = sorted(given.glob("*.jsonl")) if self._is_directory else [given]
        if not files:
            raise UsageError(f"{given} holds no conversation", expected="files that end in .jsonl")
        self._files = [LineFile(file if plan.path else "", "raw_payload") for file in files]
        self._entries = plan.entries
        self._decoder = msgspec.json.Decoder(dict[str, Any])

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations, at most `plan.entries` unless 0.

        Raises:
            UsageError: a line is wrong, or a file has none.
        """
        found = self._sessions() if self._is_directory else self._requests()
        for number, conversation in enumerate(found, 1):
            yield conversation
            if number == self._entries:
                return

    def _sessions(self) -> Iterator[Conversation]:
        for file in self._files:
            turns = tuple(turn for _, turn in self._turns(file))
            yield Conversation(id=file.path.stem, turns=turns)

    def _requests(self) -> Iterator[Conversation]:
        file = self._files[0]
        for number, turn in self._turns(file):
            yield Conversation(id=f"{file.path.name}-{number}", turns=(turn,))

    def _turns(self, file: LineFile) -> Iterator[tuple[int, Turn]]:
        empty = True
        for line in file.lines():
            empty = False
            payload = file.record(line, self._decoder, "a JSON object, the request's body")
            if not payload:
                raise file.wrong(line.number, "{}", "a body with fields")
            yield line.number, Turn(raw_payload=payload)
        if empty:
            raise file.empty()
