"""Queries and passages of exact token counts, each a pure function of plan, seed and its number."""

from collections.abc import Iterator

from steelyard.domain.bench.arrival import STREAM_LENGTH, STREAM_PASSAGES, generator
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.kernel.errors import UsageError

_DEFAULTS = {"passages": 10.0, "passage_tokens": 550.0, "query_tokens": 550.0}
_MOST = {"passages": 100_000, "passage_tokens": 4_000_000, "query_tokens": 4_000_000}
_DRAWS = {"passages": 10, "query_tokens": 11, "passage_tokens": 12}
"""Which counter a length is drawn from; 0 and 1 belong to synthetic prompts."""


class SyntheticRankingsDataset:
    """Random common words; all lengths and the number of passages are normal, rounded, at least 1.

    Options: `passages_mean` (10), `passage_tokens_mean` (550), `query_tokens_mean` (550), and for
    each a `_stddev` (0).

    Raises:
        UsageError: an option or the number of entries is out of range.
    """

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Check the plan; nothing is made yet."""
        _check("number of entries", plan.entries, 1, 1 << 32)
        self._spread: dict[str, tuple[float, float]] = {}
        for name, default in _DEFAULTS.items():
            mean = float(plan.options.get(f"{name}_mean", default))
            stddev = float(plan.options.get(f"{name}_stddev", 0))
            _check(f"{name}_mean", mean, 1, _MOST[name])
            _check(f"{name}_stddev", stddev, 0, _MOST[name])
            self._spread[name] = (mean, stddev)
        self._entries = plan.entries
        self._tokenizer = tokenizer
        self._seed = seed

    def __len__(self) -> int:
        """Return the number of conversations, known before any is made."""
        return self._entries

    def conversations(self) -> Iterator[Conversation]:
        """Yield entry 0, 1, ... one at a time."""
        return (self._conversation(entry) for entry in range(self._entries))

    def _conversation(self, entry: int) -> Conversation:
        count = self._drawn("passages", entry, 1)[0]
        lengths = self._drawn("query_tokens", entry, 1) + self._drawn(
            "passage_tokens", entry, count
        )
        rng = generator(self._seed, STREAM_PASSAGES, 0, entry)
        query, *passages = (self._tokenizer.text_of(length, rng) for length in lengths)
        turn = Turn(text=query, texts=tuple(passages), input_tokens=sum(lengths))
        return Conversation(id=f"ranking-{entry}", turns=(turn,))

    def _drawn(self, name: str, entry: int, count: int) -> list[int]:
        mean, stddev = self._spread[name]
        if stddev == 0:
            return [max(1, round(mean))] * count
        rng = generator(self._seed, STREAM_LENGTH, _DRAWS[name], entry)
        return [min(_MOST[name], max(1, round(x))) for x in rng.normal(mean, stddev, count)]


def _check(what: str, value: float, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UsageError(
            f"The dataset 'synthetic_rankings' can't have this {what}",
            got=value,
            expected=f"{low} to {high}",
        )
