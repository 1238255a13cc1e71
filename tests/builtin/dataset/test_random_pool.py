"""Draws from pools of requests."""

from collections import Counter

import pytest

from steelyard.builtin.dataset.random_pool import RandomPoolDataset
from steelyard.kernel.errors import UsageError


def test_a_file_is_drawn_from_with_replacement(lines, read):
    """Each line about as often as the others, and a longer dataset begins with a shorter one."""
    path = lines(*({"text": f"p{n}", "max_tokens": n + 1} for n in range(4)))
    found = read(RandomPoolDataset, path, entries=400)
    counts = Counter(conversation.turns[0].text for conversation in found)
    assert set(counts) == {"p0", "p1", "p2", "p3"}
    assert all(60 < count < 140 for count in counts.values())
    assert read(RandomPoolDataset, path, entries=30) == found[:30]
    assert read(RandomPoolDataset, path, entries=400, seed=1) != found


def test_without_a_number_a_hundred_are_drawn(lines, read):
    assert len(read(RandomPoolDataset, lines({"text": "a"}))) == 100


def test_a_directory_is_a_pool_per_file(lines, read, tmp_path):
    """A turn takes one line of each: the query here, its passages there."""
    lines(*({"query": f"q{n}"} for n in range(3)), name="1-queries.jsonl")
    lines(*({"passages": [f"p{n}", "x"]} for n in range(3)), name="2-passages.jsonl")
    lines("left alone", name="notes.md")
    found = read(RandomPoolDataset, tmp_path, entries=60)
    seen = {(conversation.turns[0].text, conversation.turns[0].texts) for conversation in found}
    assert seen == {(f"q{q}", (f"p{p}", "x")) for q in range(3) for p in range(3)}


def test_texts_of_several_pools_are_one_request(lines, read, tmp_path):
    """In the order of the files' names; the first pool's extra wins; lengths add up."""
    lines({"text": "one two", "extra": {"k": 1}}, name="a.jsonl")
    lines("three", name="b.txt")
    lines({"text": "four", "extra": {"k": 2, "j": 3}, "max_tokens": 5}, name="c.jsonl")
    turn = read(RandomPoolDataset, tmp_path, entries=1, osl_mean=9)[0].turns[0]
    assert turn.texts == ("one two", "three", "four")
    assert (turn.extra, turn.max_tokens, turn.input_tokens) == ({"k": 1, "j": 3}, 5, 4)


def test_what_is_wrong_is_named(lines, read, tmp_path):
    with pytest.raises(UsageError, match="holds no pool"):
        read(RandomPoolDataset, tmp_path)
    empty = lines(" ", name="empty.jsonl")
    with pytest.raises(UsageError, match=r"empty\.jsonl holds no request"):
        read(RandomPoolDataset, empty)
    with pytest.raises(UsageError, match=r"bad\.jsonl:1 is no request"):
        read(RandomPoolDataset, lines({"role": "user"}, name="bad.jsonl"))
