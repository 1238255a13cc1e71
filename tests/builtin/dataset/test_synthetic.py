"""Synthetic prompts: exact lengths, each entry a function of seed and number."""

import statistics
from typing import Any

import pytest

from steelyard.builtin.dataset.synthetic import SyntheticDataset
from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.kernel.errors import UsageError

TOKENIZER = BuiltinTokenizer()


def dataset(*, seed: int = 42, **plan: Any) -> SyntheticDataset:
    return SyntheticDataset(DatasetPlan(**plan), TOKENIZER, seed)


def test_prompts_have_exactly_their_length() -> None:
    """Without a stddev each prompt has the mean; `input_tokens` says so."""
    found = list(dataset(entries=20, isl_mean=128, osl_mean=16).conversations())
    assert len(found) == 20
    for conversation in found:
        (turn,) = conversation.turns
        assert TOKENIZER.count(turn.text) == turn.input_tokens == 128
        assert turn.max_tokens == 16


def test_lengths_follow_mean_and_stddev() -> None:
    """Input and output lengths are normal, independent, and counted exactly."""
    plan = {"entries": 2000, "isl_mean": 100, "isl_stddev": 20, "osl_mean": 50, "osl_stddev": 5}
    turns = [conversation.turns[0] for conversation in dataset(**plan).conversations()]
    isl = [turn.input_tokens for turn in turns]
    osl = [turn.max_tokens or 0 for turn in turns]
    # Standard errors: 20 / sqrt(2000) = 0.45, 5 / sqrt(2000) = 0.11; four of them each.
    assert statistics.mean(isl) == pytest.approx(100, abs=1.8)
    assert statistics.stdev(isl) == pytest.approx(20, abs=1.3)
    assert statistics.mean(osl) == pytest.approx(50, abs=0.45)
    assert abs(statistics.correlation(isl, osl)) < 0.1
    assert all(TOKENIZER.count(turn.text) == turn.input_tokens for turn in turns)


def test_lengths_are_at_least_one() -> None:
    """A wide stddev makes no empty prompt."""
    found = dataset(entries=300, isl_mean=2, isl_stddev=10).conversations()
    assert min(conversation.turns[0].input_tokens for conversation in found) == 1


def test_an_entry_needs_no_other_entry() -> None:
    """Made alone, in a longer dataset or a second time, entry 7 is the same."""
    plan = {"isl_mean": 30, "isl_stddev": 5}
    alone = dataset(entries=8, **plan).conversation(7)
    assert list(dataset(entries=100, **plan).conversations())[7] == alone
    assert dataset(entries=8, seed=43, **plan).conversation(7) != alone


def test_no_osl_asks_for_nothing() -> None:
    """Without an output length the server decides."""
    assert dataset(entries=1, isl_mean=3).conversation(0).turns[0].max_tokens is None


@pytest.mark.parametrize("wrong", [{"entries": 0}, {"isl_mean": 0}, {"isl_stddev": -1}])
def test_impossible_plans_are_refused(wrong: dict[str, Any]) -> None:
    """Before anything is made."""
    with pytest.raises(UsageError):
        dataset(**wrong)


def test_conversations_have_turns_with_delays_between_them() -> None:
    """The first waits for nothing; each turn has a text and lengths of its own."""
    plan = {"isl_mean": 9, "isl_stddev": 3, "osl_mean": 5, "osl_stddev": 2}
    made = dataset(entries=1, turns_mean=4, turn_delay_mean_ms=250, **plan).conversation(0)
    assert [turn.delay_ms for turn in made.turns] == [0, 250, 250, 250]
    assert len({turn.text for turn in made.turns}) == 4
    assert all(TOKENIZER.count(turn.text) == turn.input_tokens for turn in made.turns)
    assert len({turn.max_tokens for turn in made.turns}) > 1


def test_turns_and_delays_follow_mean_and_stddev() -> None:
    """Both are normal; there is at least one turn, and no delay below 0."""
    plan = {"turns_mean": 6, "turns_stddev": 1.5, "turn_delay_mean_ms": 100}
    made = dataset(entries=2000, isl_mean=1, turn_delay_stddev_ms=20, **plan)
    turns = [conversation.turns for conversation in made.conversations()]
    # Standard errors: 1.5 / sqrt(2000) = 0.034, 20 / sqrt(10,000) = 0.2; four of them each.
    assert statistics.mean(map(len, turns)) == pytest.approx(6, abs=0.14)
    assert statistics.stdev(map(len, turns)) == pytest.approx(1.5, abs=0.12)
    delays = [turn.delay_ms for one in turns for turn in one[1:]]
    assert statistics.mean(delays) == pytest.approx(100, abs=0.8)
    assert statistics.stdev(delays) == pytest.approx(20, abs=0.6)
    wide = dataset(entries=200, isl_mean=1, turns_mean=2, turns_stddev=9, turn_delay_mean_ms=1,
                   turn_delay_stddev_ms=50)  # fmt: skip
    lengths = [len(conversation.turns) for conversation in wide.conversations()]
    assert min(lengths) == 1
    found = [turn.delay_ms for made in wide.conversations() for turn in made.turns]
    assert min(found) == 0


def test_more_turns_change_none_of_those_before() -> None:
    """The first turns of a longer conversation are a shorter one."""
    plan = {"entries": 3, "isl_mean": 9, "isl_stddev": 2, "turn_delay_mean_ms": 50}
    short = dataset(turns_mean=2, turn_delay_stddev_ms=9, **plan).conversation(2)
    longer = dataset(turns_mean=5, turn_delay_stddev_ms=9, **plan).conversation(2)
    assert longer.turns[:2] == short.turns
    assert dataset(**plan).conversation(2).turns == short.turns[:1]
