"""Files of conversations."""

import pytest

from steelyard.builtin.dataset.multi_turn import MultiTurnDataset
from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import SchedulePlan
from steelyard.kernel.errors import UsageError


def test_each_turn_has_its_own_fields(lines, read):
    """Delay, extra, role, model and limit belong to a turn, the system prompt to the session."""
    path = lines({
        "session_id": "a", "system": "be brief",
        "turns": [
            "one two",
            {"text": "three", "delay": 250, "extra": {"seed": 1}, "role": "tool", "model": "m",
             "max_tokens": 4, "tools": [{"name": "f"}], "timestamp": 90},
        ],
    })  # fmt: skip
    (found,) = read(MultiTurnDataset, path)
    assert found.id == "a"
    assert found.turns == (
        Turn(text="one two", system="be brief", input_tokens=2),
        Turn(text="three", delay_ms=250, extra={"seed": 1}, role="tool", model="m", max_tokens=4,
             raw_tools=[{"name": "f"}], timestamp_ms=90, input_tokens=1),
    )  # fmt: skip


def test_a_mean_output_length_is_for_turns_that_ask_for_none(lines, read):
    path = lines({"turns": [{"text": "a", "max_tokens": 3}, "b"]})
    (found,) = read(MultiTurnDataset, path, osl_mean=9)
    assert [turn.max_tokens for turn in found.turns] == [3, 9]
    assert found.id == "in.jsonl-1"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"turns": []}, "length >= 1"),
        ({"session_id": "x"}, "missing required field `turns`"),
        ({"turns": ["a", {"role": "user"}]}, r"none of them in turns\[1\]"),
        ({"turns": [{"text": "a", "delay": -1}]}, ">= 0"),
        ("{", "a JSON object"),
    ],
)
def test_a_wrong_line_is_named(lines, read, record, why):
    """File and line, what was got, what was expected."""
    path = lines({"turns": ["fine"]}, record)
    with pytest.raises(UsageError, match=why) as caught:
        read(MultiTurnDataset, path)
    assert f"{path}:2 " in str(caught.value)


def test_a_session_on_two_lines_is_refused(lines, read):
    """Merging them in silence would send turns out of order."""
    path = lines({"session_id": "a", "turns": ["x"]}, {"session_id": "a", "turns": ["y"]})
    with pytest.raises(UsageError, match="of line 1 again"):
        read(MultiTurnDataset, path)


def test_a_file_without_conversations_is_refused(lines, read):
    with pytest.raises(UsageError, match="holds no request"):
        read(MultiTurnDataset, lines(" "))


def test_a_replay_names_the_line_whose_time_is_wrong(lines, read):
    """Without a replay times may be missing."""
    path = lines(
        '{"turns": [{"text": "a", "timestamp": 3}, "b"]}',
        '{"turns": [{"text": "a", "timestamp": 3}, {"text": "b", "timestamp": 2}]}',
    )
    assert len(read(MultiTurnDataset, path)) == 2
    with pytest.raises(UsageError) as caught:
        read(MultiTurnDataset, path, schedule=SchedulePlan())
    assert "in.jsonl:2 is no request" in str(caught.value)
    assert "the timestamp 2 after 3 in turns[1]" in str(caught.value)
