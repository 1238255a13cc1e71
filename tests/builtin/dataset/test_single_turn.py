"""Files of single requests: every field, and errors that name file and line."""

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.builtin.dataset.single_turn import SingleTurnDataset
from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan, SchedulePlan
from steelyard.kernel.errors import UsageError


def read(path: Path, text: str, **plan: Any) -> list[Conversation]:
    path.write_text(text, encoding="utf-8")
    given = DatasetPlan(type="single_turn", path=str(path), **{"entries": 0, **plan})
    return list(SingleTurnDataset(given, BuiltinTokenizer(), 42).conversations())


def turn(tmp_path: Path, **fields: Any) -> Turn:
    (found,) = read(tmp_path / "in.jsonl", json.dumps(fields))
    return found.turns[0]


def test_every_field_reaches_the_turn(tmp_path: Path) -> None:
    """`extra` is merged last into this request's body, so it must arrive untouched."""
    extra = {"chat_template_kwargs": {"thinking": False}, "top_k": 3}
    assert turn(
        tmp_path, text="Hello there", role="system", model="m", output_length=9, delay=5,
        timestamp=1000, extra=extra, system="be brief", unknown="ignored",
    ) == Turn(
        text="Hello there", role="system", model="m", max_tokens=9, delay_ms=5.0,
        timestamp_ms=1000.0, extra=extra, system="be brief", input_tokens=2,
    )  # fmt: skip


def test_other_spellings_and_contents(tmp_path: Path) -> None:
    """`prompt`, `texts` and `messages` stand in for `text`."""
    assert turn(tmp_path, prompt="one two", max_tokens=4) == Turn(
        text="one two", max_tokens=4, input_tokens=2
    )
    assert turn(tmp_path, texts=["one two", "three"]).texts == ("one two", "three")
    assert turn(tmp_path, texts=["one two", "three"]).input_tokens == 3
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert turn(tmp_path, messages=messages) == Turn(messages=messages, input_tokens=-1)


def test_blank_lines_and_a_mark_are_skipped(tmp_path: Path) -> None:
    """Numbering of conversations follows the file's lines."""
    found = read(tmp_path / "in.jsonl", '\ufeff{"text": "a"}\r\n\n  \n{"text": "b"}')
    assert [conversation.id for conversation in found] == ["in.jsonl-1", "in.jsonl-4"]


def test_entries_keep_the_first_lines(tmp_path: Path) -> None:
    """And 0 keeps all; a wrong line after the last one kept is not read."""
    text = '{"text": "a"}\n{"text": "b"}\nnonsense'
    assert len(read(tmp_path / "in.jsonl", text, entries=2)) == 2


def test_the_plan_gives_a_length_where_the_line_does_not(tmp_path: Path) -> None:
    """The line's own length wins."""
    text = '{"text": "a"}\n{"text": "b", "max_tokens": 2}'
    found = read(tmp_path / "in.jsonl", text, osl_mean=7.0)
    assert [conversation.turns[0].max_tokens for conversation in found] == [7, 2]


def test_a_text_file_has_a_prompt_per_line(tmp_path: Path) -> None:
    """Braces and all."""
    found = read(tmp_path / "in.txt", 'say {"a"}\nsecond line\n')
    assert [conversation.turns[0].text for conversation in found] == ['say {"a"}', "second line"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nonsense", "nonsense"),
        ('{"text": 5}', "$.text"),
        ('{"text": "a", "max_tokens": 0}', "$.max_tokens"),
        ('{"text": "a", "extra": []}', "$.extra"),
        ('{"model": "m"}', "one of the fields text, prompt, texts, messages"),
        ('{"text": "a", "prompt": "b"}', "text and prompt"),
        ('["a"]', "array"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    """File, line number, what was got and what was expected."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path / "in.jsonl", f'{{"text": "fine"}}\n\n{line}\n')
    assert str(caught.value).startswith(f"{tmp_path / 'in.jsonl'}:3 ")
    assert told in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_line_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of one endless line is refused, not read into memory."""
    monkeypatch.setattr("steelyard.runtime.line_file.LINE_MAX_BYTES", 1000)
    with pytest.raises(UsageError, match="over 1000 bytes"):
        read(tmp_path / "in.jsonl", '{"text": "' + "a" * 2000 + '"}')


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_an_error(tmp_path: Path, text: str) -> None:
    """A run without requests would say nothing."""
    with pytest.raises(UsageError, match="holds no request"):
        read(tmp_path / "in.jsonl", text)


def test_a_missing_file_is_named() -> None:
    """When the dataset is made, before anything runs."""
    with pytest.raises(UsageError, match="/nowhere"):
        SingleTurnDataset(DatasetPlan(path="/nowhere/in.jsonl"), BuiltinTokenizer(), 42)


def test_a_replay_names_the_line_whose_time_is_wrong(lines, read):
    """Without a replay times may be missing."""
    path = lines('{"text": "a", "timestamp": 3}', '{"text": "b"}')
    assert len(read(SingleTurnDataset, path)) == 2
    with pytest.raises(UsageError) as caught:
        read(SingleTurnDataset, path, schedule=SchedulePlan())
    assert "in.jsonl:2 is no request" in str(caught.value)
    assert "no timestamp" in str(caught.value)
