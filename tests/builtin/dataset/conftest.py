"""Small input files and the conversations that a dataset makes of them."""

import json

import pytest

from steelyard.builtin.tokenizer.builtin import BuiltinTokenizer
from steelyard.domain.bench.plan import DatasetPlan


@pytest.fixture
def lines(tmp_path):
    """Write records as JSON Lines; return the path."""

    def write(*records, name="in.jsonl"):
        path = tmp_path / name
        texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("".join(f"{text}\n" for text in texts))
        return path

    return write


@pytest.fixture
def read():
    """Return all conversations of a dataset class over a path."""

    def conversations(cls, path, *, seed=42, entries=0, **plan):
        given = DatasetPlan(path=str(path), entries=entries, **plan)
        return list(cls(given, BuiltinTokenizer(), seed).conversations())

    return conversations
