"""Traces: prompts from hashes, sessions, and what is wrong with a line."""

import itertools

import pytest

from steelyard.builtin.dataset.mooncake_trace import MooncakeTraceDataset
from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.plan import SchedulePlan
from steelyard.kernel.errors import UsageError

COUNT = BuiltinTokenizer().count


def shared(one, other):
    """Return with how many equal words two texts begin."""
    pairs = zip(one.split(), other.split(), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def texts(found):
    return [conversation.turns[0].text for conversation in found]


def test_equal_hashes_make_equal_prefixes_of_exactly_their_blocks(lines, read):
    """Two shared hashes are 1024 shared tokens; the third differs; lengths are exact."""
    path = lines(
        {"timestamp": 0, "input_length": 1300, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 27482, "input_length": 1536, "output_length": 9, "hash_ids": [0, 1, 3]},
        {"timestamp": 30535, "input_length": 600, "hash_ids": [0, 2**63]},
    )
    found = read(MooncakeTraceDataset, path)
    first, second, third = texts(found)
    assert [COUNT(text) for text in (first, second, third)] == [1300, 1536, 600]
    assert [c.turns[0].input_tokens for c in found] == [1300, 1536, 600]
    assert [c.turns[0].max_tokens for c in found] == [5, 9, None]
    assert [c.turns[0].timestamp_ms for c in found] == [0, 27482, 30535]
    assert first.split()[:1024] == second.split()[:1024]
    assert first.split()[1024:1034] != second.split()[1024:1034]
    assert shared(first, third) == 512


def test_a_partial_block_begins_as_the_whole_one(lines, read):
    """So that a prompt which later grew shares all that it had."""
    short, long = texts(read(MooncakeTraceDataset, lines(
        {"input_length": 700, "hash_ids": [7, 8]}, {"input_length": 1024, "hash_ids": [7, 8]},
    )))  # fmt: skip
    assert long.startswith(short)


def test_the_seed_decides_the_words_and_the_file_the_lengths(lines, read):
    path = lines({"input_length": 600, "hash_ids": [1, 2]})
    assert texts(read(MooncakeTraceDataset, path)) == texts(read(MooncakeTraceDataset, path))
    assert texts(read(MooncakeTraceDataset, path)) != texts(
        read(MooncakeTraceDataset, path, seed=1)
    )


def test_lines_without_hashes_share_nothing(lines, read):
    found = texts(read(MooncakeTraceDataset, lines(*[{"input_length": 600}] * 3)))
    assert [COUNT(text) for text in found] == [600] * 3
    for one, other in itertools.combinations(found, 2):
        assert shared(one, other) < 5


def test_the_blocks_may_have_another_size(lines, read):
    path = lines({"input_length": 40, "hash_ids": [1, 2, 3]})
    (found,) = read(MooncakeTraceDataset, path, options={"block_size": 16})
    assert found.turns[0].input_tokens == 40


def test_lines_of_a_session_are_the_turns_of_one_conversation(lines, read):
    """Interleaved with others, in their order, the conversation standing where it begins."""
    path = lines(
        {"session_id": "a", "timestamp": 5, "text_input": "one"},
        {"timestamp": 6, "text_input": "alone"},
        {"session_id": 7, "timestamp": 8, "text_input": "other"},
        {"session_id": "a", "delay": 300, "text_input": "two", "extra": {"k": 1}},
        {"session_id": "a", "delay": 100, "input_length": 20},
    )
    found = read(MooncakeTraceDataset, path)
    assert [conversation.id for conversation in found] == ["a", "in.jsonl-2", "7"]
    one, two, three = found[0].turns
    assert (one.text, one.timestamp_ms, two.text, two.delay_ms) == ("one", 5, "two", 300)
    assert (two.extra, three.delay_ms, three.input_tokens) == ({"k": 1}, 100, 20)


def test_messages_are_a_prompt_too(lines, read):
    messages = [{"role": "user", "content": "hi"}]
    (found,) = read(MooncakeTraceDataset, lines({"messages": messages, "output_length": 3}))
    assert found.turns[0].messages == messages
    assert found.turns[0].input_tokens == -1


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"input_length": 513, "hash_ids": [1]}, "expected 2, one for each block of 512"),
        ({"input_length": 100, "hash_ids": [1, 2]}, "2 hash_ids for an input_length of 100"),
        ({"input_length": 5, "hash_ids": [-1]}, ">= 0"),
        ({"timestamp": 4, "output_length": 3}, "input_length, text_input or"),
        ({"input_length": 0}, ">= 1"),
    ],
)
def test_a_wrong_line_is_named(lines, read, record, why):
    path = lines({"input_length": 4}, record)
    with pytest.raises(UsageError, match=why) as caught:
        read(MooncakeTraceDataset, path)
    assert f"{path}:2 " in str(caught.value)


TIMED = SchedulePlan()


@pytest.mark.parametrize(
    ("records", "place", "got"),
    [
        ([{"timestamp": 1}, {}], "in.jsonl:2 is no request", "no timestamp"),
        ([{"timestamp": -1}], "in.jsonl:1 is no request", ">= 0"),
        (
            [{"timestamp": 5, "session_id": "a"}, {"timestamp": 9},
             {"timestamp": 4, "session_id": "a"}],
            "in.jsonl:3 is no request",
            "the timestamp 4 after 5",
        ),
        (
            [{"delay": 5, "session_id": "a"}, {"timestamp": 4, "session_id": "a"}],
            "in.jsonl:1 is no request",
            "no timestamp",
        ),
    ],
)  # fmt: skip
def test_a_trace_that_is_replayed_names_the_line_whose_time_is_wrong(
    lines, read, records, place, got
):
    path = lines(*[{"input_length": 3, **record} for record in records])
    with pytest.raises(UsageError) as caught:
        read(MooncakeTraceDataset, path, schedule=TIMED)
    assert place in str(caught.value)
    assert got in str(caught.value)


def test_times_are_asked_for_only_by_a_replay(lines, read):
    path = lines({"input_length": 3}, {"input_length": 3, "timestamp": 5})
    assert len(read(MooncakeTraceDataset, path)) == 2


def test_what_a_replay_leaves_out_is_not_made(lines, read):
    """Unless a session needs the line; nothing at all is for the data set manager to tell."""
    path = lines(*[{"input_length": 3, "timestamp": n} for n in (5, 10, 15, 20)])
    window = SchedulePlan(start_ms=10, end_ms=15)
    found = read(MooncakeTraceDataset, path, schedule=window, entries=2)
    assert [c.turns[0].timestamp_ms for c in found] == [10, 15]
    assert read(MooncakeTraceDataset, path, schedule=SchedulePlan(start_ms=99)) == []
