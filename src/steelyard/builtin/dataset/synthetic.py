"""Prompts of exact token counts, each a pure function of plan, seed and its number."""

from collections.abc import Iterator

from steelyard.domain.bench.arrival import STREAM_LENGTH, STREAM_PROMPT, generator
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError

_LENGTH_MAX = 4_000_000
_DRAW_ISL = 0
_DRAW_OSL = 1


class SyntheticDataset:
    """Random common words; lengths are normal, rounded, at least 1.

    Entry `i` comes from counter `i` of Philox alone: any entry can be made without the others, and
    a longer dataset begins with a shorter one.

    Raises:
        UsageError: a length or the number of entries is out of range.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Check the plan; nothing is made yet."""
        _check("the number of entries", plan.entries, 1, 1 << 32)
        _check("the mean input length (ISL)", plan.isl_mean, 1, _LENGTH_MAX)
        _check("the input length's stddev", plan.isl_stddev, 0, _LENGTH_MAX)
        if plan.osl_mean is not None:
            _check("the mean output length (OSL)", plan.osl_mean, 1, _LENGTH_MAX)
            _check("the output length's stddev", plan.osl_stddev, 0, _LENGTH_MAX)
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
        """Return entry number `entry`: one turn."""
        plan = self._plan
        isl = self._length(entry, _DRAW_ISL, plan.isl_mean, plan.isl_stddev)
        osl = None
        if plan.osl_mean is not None:
            osl = self._length(entry, _DRAW_OSL, plan.osl_mean, plan.osl_stddev)
        text = self._tokenizer.text_of(isl, generator(self._seed, STREAM_PROMPT, 0, entry))
        turn = Turn(text=text, max_tokens=osl, input_tokens=isl)
        return Conversation(id=f"synthetic-{entry}", turns=(turn,))

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
