"""Conversations of one turn, drawn with replacement from pools of requests.

The input is a file, which is one pool, or a directory, whose `.jsonl` and `.txt` files are a pool
each, in the order of their names. A line of a pool has the fields of `domain.bench.rows`; a line
of a `.txt` file is a prompt. A turn takes one line of every pool: their texts become its texts, a
`query` and `passages` find each other, and of other fields the first pool that has one decides.
"""

from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steelyard.domain.bench.arrival import STREAM_POOL, generator
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.domain.bench.rows import (
    CONTENT_EXPECTED,
    TurnRow,
    default_osl,
    first_given,
    require_content,
    turn_of,
)
from steelyard.kernel.errors import UsageError
from steelyard.runtime.line_file import Line, LineFile

ENTRIES = 100
"""Conversations made when the plan names no number."""

_SUFFIXES = (".jsonl", ".txt")


class RandomPoolDataset:
    """Entry `i` comes from counter `i` of Philox alone, so a longer dataset begins with a shorter.

    Only the places of the lines are kept, 16 bytes each; a line is read when it is drawn.

    Raises:
        UsageError: there is no such file or directory, or no pool in it; while reading, a pool is
            empty or a line is wrong (file, line, got, expected).
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Find the pools; nothing is read yet."""
        self._entries = plan.entries or ENTRIES
        self._pools = [LineFile(path, "random_pool") for path in _pool_files(plan.path)]
        self._tokenizer = tokenizer
        self._seed = seed
        self._default_osl = default_osl(plan)
        self._decoder = msgspec.json.Decoder(TurnRow)

    def __len__(self) -> int:
        """Return the number of conversations, known before any is made."""
        return self._entries

    def conversations(self) -> Iterator[Conversation]:
        """Yield entry 0, 1, ... one at a time."""
        places = [_places(pool) for pool in self._pools]
        for entry in range(self._entries):
            drawn = []
            for number, (pool, lines) in enumerate(zip(self._pools, places, strict=True)):
                rng = generator(self._seed, STREAM_POOL, number, entry)
                at = 2 * int(rng.integers(len(lines) // 2))
                drawn.append(self._turn(pool, pool.line_at(lines[at], lines[at + 1])))
            turn = _merged(drawn)
            if turn.max_tokens is None:
                turn = msgspec.structs.replace(turn, max_tokens=self._default_osl)
            yield Conversation(id=f"pool-{entry}", turns=(turn,))

    def _turn(self, pool: LineFile, line: Line) -> Turn:
        if pool.path.suffix == ".txt":
            row = TurnRow(text=pool.text(line))
        else:
            row = pool.record(line, self._decoder, "the fields of random_pool")
        if row.passages is None:  # passages alone wait for the query of another pool
            try:
                require_content(row)
            except ValueError as problem:
                expected = f"{CONTENT_EXPECTED}, passages"
                raise pool.wrong(line.number, str(problem), expected) from problem
        return turn_of(row, self._tokenizer.count, None)


def _pool_files(path: str) -> list[Path]:
    given = Path(path).expanduser()
    if not path or not given.is_dir():
        return [given] if path else [Path()]
    found = sorted(file for file in given.iterdir() if file.suffix in _SUFFIXES)
    if not found:
        raise UsageError(
            f"{given} holds no pool", expected="files that end in " + " or ".join(_SUFFIXES)
        )
    return found


def _places(pool: LineFile) -> "array[int]":
    """Return line number and offset of each line, one after the other."""
    places = array("Q")
    for line in pool.lines():
        places.extend((line.number, line.offset))
    if not places:
        raise pool.empty()
    return places


def _merged(turns: list[Turn]) -> Turn:
    """Return one turn of what was drawn from each pool."""
    if len(turns) == 1:
        return turns[0]
    texts = [turn.text for turn in turns if turn.text]
    others = [text for turn in turns for text in turn.texts]
    is_ranked = len(texts) == 1 and bool(others)
    messages = first_given(*(turn.messages for turn in turns))
    counts = [turn.input_tokens for turn in turns if turn.input_tokens > 0]
    return msgspec.structs.replace(
        turns[0],
        text=texts[0] if is_ranked else "",
        texts=tuple(others if is_ranked else texts + others),
        messages=messages,
        system=next((turn.system for turn in turns if turn.system), ""),
        model=next((turn.model for turn in turns if turn.model), ""),
        max_tokens=first_given(*(turn.max_tokens for turn in turns)),
        input_tokens=sum(counts) if messages is None else -1,
        extra={key: value for turn in reversed(turns) for key, value in turn.extra.items()},
        raw_tools=first_given(*(turn.raw_tools for turn in turns)),
    )
