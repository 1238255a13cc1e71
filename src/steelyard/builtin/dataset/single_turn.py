"""One request per line of a file: JSON Lines, or plain text with one prompt per line.

The fields of a JSON line are those of `domain.bench.rows`, and `session_id` or `id`: the
conversation's name. A file whose name ends in `.txt` is taken as plain text.
"""

from collections.abc import Iterator

import msgspec

from steelyard.domain.bench.conversation import Conversation
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.domain.bench.rows import (
    CONTENT_EXPECTED,
    TurnRow,
    default_osl,
    require_content,
    turn_of,
)
from steelyard.domain.bench.trace_times import TIMES_EXPECTED, time_mistake
from steelyard.runtime.line_file import Line, LineFile


class _Row(TurnRow, frozen=True):
    session_id: str | None = None
    id: str | None = None


class SingleTurnDataset:
    """Reads the file line by line, as conversations are asked for.

    Raises:
        UsageError: the file is missing; while reading, a line is wrong (file, line, got, expected).
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the file; nothing is read yet. `seed` has no say: the file decides."""
        del seed
        self._file = LineFile(plan.path, "single_turn")
        self._entries = plan.entries
        self._is_timed = plan.schedule is not None
        self._tokenizer = tokenizer
        self._default_osl = default_osl(plan)
        self._decoder = msgspec.json.Decoder(_Row)

    def conversations(self) -> Iterator[Conversation]:
        """Yield a conversation per line that isn't blank, at most `plan.entries` unless 0.

        Raises:
            UsageError: a line is wrong, or no line has a request.
        """
        plain = self._file.path.suffix == ".txt"
        number = 0
        for line in self._file.lines():
            row = _Row(text=self._file.text(line)) if plain else self._row(line)
            turn = turn_of(row, self._tokenizer.count, self._default_osl)
            if self._is_timed and (mistake := time_mistake((turn,))):
                raise self._file.wrong(line.number, mistake[1], TIMES_EXPECTED)
            name = row.session_id or row.id or f"{self._file.path.name}-{line.number}"
            yield Conversation(id=name, turns=(turn,))
            number += 1
            if number == self._entries:
                return
        if number == 0:
            raise self._file.empty()

    def _row(self, line: Line) -> _Row:
        row = self._file.record(line, self._decoder, "the fields of single_turn")
        try:
            require_content(row)
        except ValueError as problem:
            raise self._file.wrong(line.number, str(problem), CONTENT_EXPECTED) from problem
        return row
