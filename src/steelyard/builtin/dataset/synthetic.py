"""Prompts of exact token counts, each a pure function of plan, seed and its number."""

from collections.abc import Iterator

from steelyard.domain.bench.arrival import (
    STREAM_LENGTH,
    STREAM_PROMPT,
    STREAM_TURNS,
    generator,
)
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError

_LENGTH_MAX = 4_000_000
_DRAW_ISL = 0
_DRAW_OSL = 1
_DRAWS = 2
_COUNT = 0
_DELAY = 1
_TURNS_MAX = 10_000
_DELAY_MAX_MS = 1_000_000_000


class SyntheticDataset:
    """Random common words; lengths and numbers of turns are normal, rounded, at least 1.

    The first turn of entry `i` comes from counter `i` of Philox alone, and a later one from that
    counter's turn: any entry can be made without the others, a longer dataset begins with a
    shorter one, and longer conversations with shorter ones.

    Raises:
        UsageError: a length, a number of turns or the number of entries is out of range.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Check the plan; nothing is made yet."""
        _check("the number of entries", plan.entries, 1, 1 << 32)
        _check("the mean input length (ISL)", plan.isl_mean, 1, _LENGTH_MAX)
        _check("the input length's stddev", plan.isl_stddev, 0, _LENGTH_MAX)
        if plan.osl_mean is not None:
            _check("the mean output length (OSL)", plan.osl_mean, 1, _LENGTH_MAX)
            _check("the output length's stddev", plan.osl_stddev, 0, _LENGTH_MAX)
        _check("the mean number of turns", plan.turns_mean, 1, _TURNS_MAX)
        _check("the number of turns' stddev", plan.turns_stddev, 0, _TURNS_MAX)
        _check("the mean delay of turns in ms", plan.turn_delay_mean_ms, 0, _DELAY_MAX_MS)
        _check("the delay of turns' stddev in ms", plan.turn_delay_stddev_ms, 0, _DELAY_MAX_MS)
        self._plan = plan
        self._tokenizer = tokenizer
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of conversations, known before any is made."""
        return self._plan.entries

    def conversations(self) -> Iterator[Conversation]:
        """Yield entry 0, 1, ... one at a time."""
        return (self.conversation(entry) for entry in range(self._plan.entries))

    def conversation(self, entry: int) -> Conversation:
        """Return entry number `entry`."""
        turns = tuple(self._turn(entry, number) for number in range(self._turns(entry)))
        return Conversation(id=f"synthetic-{entry}", turns=turns)

    def _turns(self, entry: int) -> int:
        plan = self._plan
        if plan.turns_stddev == 0:
            return max(1, round(plan.turns_mean))
        rng = generator(self._seed, STREAM_TURNS, _COUNT, entry)
        return min(_TURNS_MAX, max(1, round(rng.normal(plan.turns_mean, plan.turns_stddev))))

    def _turn(self, entry: int, number: int) -> Turn:
        plan = self._plan
        draw = number * _DRAWS
        isl = self._length(entry, draw + _DRAW_ISL, plan.isl_mean, plan.isl_stddev)
        osl = None
        if plan.osl_mean is not None:
            osl = self._length(entry, draw + _DRAW_OSL, plan.osl_mean, plan.osl_stddev)
        text = self._tokenizer.text_of(isl, generator(self._seed, STREAM_PROMPT, number, entry))
        delay_ms = self._delay_ms(entry, number) if number else 0.0
        return Turn(text=text, max_tokens=osl, input_tokens=isl, delay_ms=delay_ms)

    def _delay_ms(self, entry: int, number: int) -> float:
        """Return the wait before a turn, to the microsecond; never below 0."""
        mean, stddev = self._plan.turn_delay_mean_ms, self._plan.turn_delay_stddev_ms
        if stddev == 0:
            return mean
        rng = generator(self._seed, STREAM_TURNS, _DELAY + number, entry)
        return round(min(_DELAY_MAX_MS, max(0.0, rng.normal(mean, stddev))), 3)

    def _length(self, entry: int, draw: int, mean: float, stddev: float) -> int:
        if stddev == 0:
            return max(1, round(mean))
        drawn = generator(self._seed, STREAM_LENGTH, draw, entry).normal(mean, stddev)
        return min(_LENGTH_MAX, max(1, round(drawn)))


def _check(what: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(
            f"The synthetic dataset can't have this as {what}",
            got=value,
            expected=f"{low} to {high}",
        )
