"""A trace in Mooncake's format: JSON Lines, one request a line.

- `timestamp`: milliseconds since the trace's beginning; or `delay`: milliseconds after the answer
  before, within a session.
- `input_length` with `hash_ids`: the prompt is made of blocks of 512 tokens, one per hash, so that
  requests which share hashes share a prefix. Without `hash_ids` each line has a prompt of its own.
- `text_input`, or a content of `domain.bench.rows`: the prompt itself.
- `output_length`: output tokens asked for.
- `session_id`: lines with the same one are the turns of one conversation, in their order.
- `extra`, `model`, `tools`: as in `domain.bench.rows`.

Sources: Mooncake's published traces, and what AIPerf adds to them.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from steelyard.domain.bench.blocks import BLOCK_TOKENS, BlockTexts
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.domain.bench.rows import (
    CONTENT_EXPECTED,
    Count,
    TurnRow,
    default_osl,
    first_given,
    require_content,
    turn_of,
)
from steelyard.domain.bench.trace_times import TIMES_EXPECTED, time_mistake
from steelyard.runtime.line_file import Line, LineFile

_BLOCKS_MAX = 1 << 20
"""Blocks of one prompt, more than any model reads."""

_Hash = Annotated[int, msgspec.Meta(ge=0)]


class _Row(TurnRow, frozen=True):
    input_length: Count | None = None
    hash_ids: list[_Hash] | None = None
    text_input: str | None = None
    session_id: str | int | None = None


class MooncakeTraceDataset:
    """Reads the trace line by line; a conversation comes where its first line is.

    Once a line has a `session_id`, the rest of the file is looked through for the places of each
    session's lines; 16 bytes a line are kept, no text.

    Raises:
        UsageError: the file is missing; while reading, a line is wrong (file, line, got, expected).
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the file; nothing is read yet."""
        self._file = LineFile(plan.path, "mooncake_trace")
        self._entries = plan.entries
        self._schedule = plan.schedule
        self._tokenizer = tokenizer
        self._block_tokens = int(plan.options.get("block_size", BLOCK_TOKENS))
        self._blocks = BlockTexts(tokenizer, seed, self._block_tokens)
        self._default_osl = default_osl(plan)
        self._decoder = msgspec.json.Decoder(_Row)

    def conversations(self) -> Iterator[Conversation]:
        """Yield the conversations, at most `plan.entries` unless 0.

        Raises:
            UsageError: a line is wrong, or no line has a request.
        """
        sessions: dict[str, array[int]] | None = None
        number = 0
        line: Line | None = None
        for line in self._file.lines():
            row = self._row(line)
            if row.session_id is None:
                if self._is_left_out(row):
                    continue  # before its prompt is made: most of a long trace may be
                name = f"{self._file.path.name}-{line.number}"
                yield self._timed(name, (self._turn(row, line),), (line.number,))
            else:
                if sessions is None:
                    sessions = self._places(line, row)
                places = sessions.pop(str(row.session_id), None)
                if places is None:
                    continue  # yielded with the first line of its session
                yield self._timed(str(row.session_id), tuple(self._turns(places)), places[::2])
            number += 1
            if number == self._entries:
                return
        if line is None:
            raise self._file.empty()

    def _is_left_out(self, row: _Row) -> bool:
        """Return True for a time outside of what is replayed."""
        at_ms = first_given(row.timestamp_ms, row.timestamp)
        return self._schedule is not None and at_ms is not None and not self._schedule.has(at_ms)

    def _timed(self, name: str, turns: tuple[Turn, ...], lines: Sequence[int]) -> Conversation:
        """Return a conversation; one that is replayed must have its times."""
        if self._schedule is not None and (mistake := time_mistake(turns)):
            raise self._file.wrong(lines[mistake[0]], mistake[1], TIMES_EXPECTED)
        return Conversation(id=name, turns=turns)

    def _places(self, first: Line, row: _Row) -> dict[str, "array[int]"]:
        """Return line number and offset of each session's lines, from `first` to the end."""
        places = {str(row.session_id): array("Q", (first.number, first.offset))}
        for line in self._file.lines(after=first):
            session = self._row(line).session_id
            if session is not None:
                found = places.setdefault(str(session), array("Q"))
                found.extend((line.number, line.offset))
        return places

    def _turns(self, places: "array[int]") -> Iterator[Turn]:
        for at in range(0, len(places), 2):
            line = self._file.line_at(places[at], places[at + 1])
            yield self._turn(self._row(line), line)

    def _row(self, line: Line) -> _Row:
        return self._file.record(line, self._decoder, "the fields of mooncake_trace")

    def _turn(self, row: _Row, line: Line) -> Turn:
        if row.input_length is not None and row.text_input is None:
            text, counted = self._blocks.prompt(row.input_length, self._hashes(row, line))
            made = msgspec.structs.replace(row, text=text, prompt=None, texts=None, messages=None)
            return turn_of(made, lambda _: counted, self._default_osl)
        if row.text_input is not None:
            row = msgspec.structs.replace(row, text=row.text_input)
        try:
            require_content(row)
        except ValueError as problem:
            expected = f"input_length, text_input or {CONTENT_EXPECTED}"
            raise self._file.wrong(line.number, str(problem), expected) from problem
        return turn_of(row, self._tokenizer.count, self._default_osl)

    def _hashes(self, row: _Row, line: Line) -> list[int]:
        """Return a hash for each block of the prompt."""
        length, block = row.input_length or 1, self._block_tokens
        blocks = -(-length // block)
        if row.hash_ids is None:
            # Below zero, where no trace's hashes are.
            own = -line.number * _BLOCKS_MAX
            return [own + number for number in range(blocks)]
        if len(row.hash_ids) != blocks:
            raise self._file.wrong(
                line.number,
                f"{len(row.hash_ids)} hash_ids for an input_length of {length}",
                f"{blocks}, one for each block of {block} tokens",
            )
        return row.hash_ids
