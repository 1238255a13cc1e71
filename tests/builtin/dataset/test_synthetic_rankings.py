"""Made-up queries and passages."""

import pytest

from steelyard.builtin.dataset.synthetic_rankings import SyntheticRankingsDataset
from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.kernel.errors import UsageError


def made(seed=42, entries=30, **options):
    plan = DatasetPlan(entries=entries, options=options)
    dataset = SyntheticRankingsDataset(plan, BuiltinTokenizer(), seed)
    return [conversation.turns[0] for conversation in dataset.conversations()]


def test_lengths_are_exact():
    """Ten passages of 550 tokens for a query of 550, unless told otherwise."""
    count = BuiltinTokenizer().count
    (turn,) = made(entries=1)
    assert [count(text) for text in (turn.text, *turn.texts)] == [550] * 11
    (turn,) = made(entries=1, passages_mean=2, passage_tokens_mean=7, query_tokens_mean=3)
    assert [count(text) for text in (turn.text, *turn.texts)] == [3, 7, 7]
    assert turn.input_tokens == 17


def test_spreads_are_drawn_and_entries_stand_alone():
    """Numbers and lengths vary; a longer dataset begins with a shorter one."""
    means = {"passages_mean": 5, "passage_tokens_mean": 20, "query_tokens_mean": 9}
    options = {**means, "passages_stddev": 2, "passage_tokens_stddev": 5, "query_tokens_stddev": 3}
    turns = made(**options)
    assert len({len(turn.texts) for turn in turns}) > 2
    assert all(turn.texts for turn in turns)
    assert made(entries=10, **options) == turns[:10]
    assert made(seed=1, **options) != turns


@pytest.mark.parametrize(
    "options", [{"passages_mean": 0}, {"passage_tokens_stddev": -1}, {"query_tokens_mean": 1e9}]
)
def test_what_is_out_of_range_is_named(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        made(**options)
