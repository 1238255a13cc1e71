"""Whole bodies: line by line, by directory, and from an earlier run's inputs.json."""

import json

import pytest

from steelyard.builtin.dataset.inputs_json import InputsJsonDataset
from steelyard.builtin.dataset.raw_payload import RawPayloadDataset
from steelyard.kernel.errors import UsageError


def payloads(found):
    return [[turn.raw_payload for turn in conversation.turns] for conversation in found]


def test_a_line_is_a_request(lines, read):
    found = read(RawPayloadDataset, lines({"a": 1}, " ", {"b": [2]}))
    assert payloads(found) == [[{"a": 1}], [{"b": [2]}]]
    assert [conversation.id for conversation in found] == ["in.jsonl-1", "in.jsonl-3"]


def test_a_file_of_a_directory_is_a_conversation(lines, read, tmp_path):
    lines({"a": 1}, {"a": 2}, name="first.jsonl")
    lines({"b": 1}, name="second.jsonl")
    found = read(RawPayloadDataset, tmp_path)
    assert payloads(found) == [[{"a": 1}, {"a": 2}], [{"b": 1}]]
    assert [conversation.id for conversation in found] == ["first", "second"]


@pytest.mark.parametrize("line", ["[1]", "{}", '{"a": ', "text"])
def test_a_line_that_is_no_body_is_named(lines, read, line):
    path = lines({"a": 1}, line)
    with pytest.raises(UsageError, match=r"in\.jsonl:2 is no request"):
        read(RawPayloadDataset, path)


def test_inputs_of_an_earlier_run(tmp_path, read):
    """A session is a conversation, a payload a turn; the number of entries keeps the first."""
    path = tmp_path / "inputs.json"
    sessions = [{"session_id": "s", "payloads": [{"a": 1}, {"a": 2}]}, {"payloads": [{"b": 1}]}]
    path.write_text(json.dumps({"data": sessions}))
    found = read(InputsJsonDataset, path)
    assert payloads(found) == [[{"a": 1}, {"a": 2}], [{"b": 1}]]
    assert [conversation.id for conversation in found] == ["s", "inputs.json-1"]
    assert len(read(InputsJsonDataset, path, entries=1)) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"data": []}', "length >= 1"),
        ('{"data": [{"payloads": [{}, 5]}]}', r"data\[0\]\.payloads\[1\]"),
        ('{"dat', "truncated"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, read, text, why):
    path = tmp_path / "inputs.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        read(InputsJsonDataset, path)
    assert str(path) in str(caught.value)
