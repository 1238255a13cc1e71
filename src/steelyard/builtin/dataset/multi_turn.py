"""One conversation per line of a JSON Lines file.

A line has `turns`: texts, or objects with the fields of `domain.bench.rows`, each with its own
`delay`, `extra`, `model` and limit; `session_id` or `id` names the conversation; `system` is its
system prompt. A turn is sent after the one before it was answered, and `delay` later.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from steelyard.domain.bench.conversation import Conversation, Turn
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
from steelyard.kernel.errors import UsageError
from steelyard.runtime.line_file import Line, LineFile


class _Session(msgspec.Struct, frozen=True):
    turns: Annotated[list[TurnRow | str], msgspec.Meta(min_length=1)]
    session_id: str | None = None
    id: str | None = None
    system: str = ""


class MultiTurnDataset:
    """Reads the file line by line, as conversations are asked for.

    Raises:
        UsageError: the file is missing; while reading, a line is wrong, or a name comes twice.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the file; nothing is read yet. `seed` has no say: the file decides."""
        del seed
        self._file = LineFile(plan.path, "multi_turn")
        self._entries = plan.entries
        self._is_timed = plan.schedule is not None
        self._tokenizer = tokenizer
        self._default_osl = default_osl(plan)
        self._decoder = msgspec.json.Decoder(_Session)

    def conversations(self) -> Iterator[Conversation]:
        """Yield a conversation per line that isn't blank, at most `plan.entries` unless 0.

        Raises:
            UsageError: a line is wrong, or no line has a conversation.
        """
        seen: dict[str, int] = {}
        for line in self._file.lines():
            session = self._file.record(line, self._decoder, "the fields of multi_turn")
            name = session.session_id or session.id or f"{self._file.path.name}-{line.number}"
            if name in seen:
                raise self._file.wrong(
                    line.number,
                    f"the session_id {name!r} of line {seen[name]} again",
                    "all turns of a conversation on one line",
                )
            seen[name] = line.number
            turns = tuple(self._turns(session, line))
            if self._is_timed and (mistake := time_mistake(turns)):
                got = f"{mistake[1]} in turns[{mistake[0]}]"
                raise self._file.wrong(line.number, got, TIMES_EXPECTED)
            yield Conversation(id=name, turns=turns)
            if len(seen) == self._entries:
                return
        if not seen:
            raise self._file.empty()

    def _turns(self, session: _Session, line: Line) -> Iterator[Turn]:
        for number, given in enumerate(session.turns):
            row = TurnRow(text=given) if isinstance(given, str) else given
            try:
                require_content(row)
            except ValueError as problem:
                raise self._wrong_turn(line, number, problem) from problem
            turn = turn_of(row, self._tokenizer.count, self._default_osl)
            if number == 0 and session.system and not turn.system:
                turn = msgspec.structs.replace(turn, system=session.system)
            yield turn

    def _wrong_turn(self, line: Line, number: int, problem: ValueError) -> UsageError:
        return self._file.wrong(line.number, f"{problem} in turns[{number}]", CONTENT_EXPECTED)
