"""The contract of a dataset: lazy, repeatable, and complete conversations."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.conversation import Conversation
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Dataset
from steelyard.kernel.errors import UsageError
from steelyard.testing.contracts.kit import Contract, require

_TAKEN_MAX = 200
_SEED = 42


class CountingTokenizer:
    """Counts words, and how often it was asked."""

    name = "counting"

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.calls = 0

    def count(self, text: str) -> int:
        """Return how many words `text` has."""
        self.calls += 1
        return len(text.split())

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """Return `tokens` words drawn with `rng`."""
        self.calls += 1
        return " ".join(f"w{n}" for n in rng.integers(0, 9999, tokens))


@dataclass(frozen=True)
class DatasetSubject:
    """A dataset and a plan it can be made with.

    Attributes:
        cls: the class under test.
        plan: names a small input file if the dataset reads one.
        entries: how many conversations the plan yields; None when that is not known.
        reads_file: a missing file must be told as a UsageError.
    """

    cls: type[Dataset]
    plan: DatasetPlan = field(default_factory=lambda: DatasetPlan(entries=20, isl_mean=16))
    entries: int | None = 20
    reads_file: bool = False

    def make(self, seed: int = _SEED, tokenizer: CountingTokenizer | None = None) -> Dataset:
        """Return a new dataset."""
        return self.cls(self.plan, tokenizer or CountingTokenizer(), seed)

    def take(self, seed: int = _SEED) -> list[Conversation]:
        """Return the first conversations of a new dataset."""
        return list(islice(self.make(seed).conversations(), _TAKEN_MAX))


class DatasetContract(Contract):
    """Inherit, and override `subject` with a `DatasetSubject`."""

    kind = "dataset"

    def test_conversations_can_be_sent(self, subject: DatasetSubject) -> None:
        """Each has an id of its own and turns that hold something."""
        found = subject.take()
        require(found, "the dataset yields nothing")
        for conversation in found:
            require(isinstance(conversation, Conversation), f"{conversation!r}: not a Conversation")
            require(conversation.turns, f"conversation {conversation.id} has no turns")
            for turn in conversation.turns:
                content = (turn.text, turn.texts, turn.messages, turn.raw_payload)
                require(any(content), f"conversation {conversation.id} has an empty turn")
        ids = [conversation.id for conversation in found]
        require(all(ids), "a conversation has an empty id")
        require(len(set(ids)) == len(ids), "two conversations share an id")

    def test_the_plan_says_how_many(self, subject: DatasetSubject) -> None:
        """`entries` conversations are yielded, no more and no fewer."""
        if subject.entries is not None:
            got = len(subject.take())
            require(got == subject.entries, f"yields {got} conversations, not {subject.entries}")

    def test_the_same_seed_gives_the_same_bytes(self, subject: DatasetSubject) -> None:
        """Two datasets of one plan and seed are equal, so that a run can be repeated."""
        first, second = subject.take(), subject.take()
        same = msgspec.json.encode(first) == msgspec.json.encode(second)
        require(same, "the same plan and seed gave different conversations")

    def test_a_dataset_can_be_read_twice(self, subject: DatasetSubject) -> None:
        """Each call of `conversations` begins at the beginning."""
        dataset = subject.make()
        first = list(islice(dataset.conversations(), 5))
        second = list(islice(dataset.conversations(), 5))
        require(first == second, "a second reading gave different conversations")

    def test_the_first_conversation_comes_before_the_last_is_made(
        self, subject: DatasetSubject
    ) -> None:
        """The first request leaves before the dataset is fully read or tokenized."""
        tokenizer = CountingTokenizer()
        reading = subject.make(tokenizer=tokenizer).conversations()
        require(isinstance(reading, Iterator), f"conversations() returned {type(reading).__name__}")
        next(reading)
        early = tokenizer.calls
        rest = sum(1 for _ in islice(reading, _TAKEN_MAX))
        is_lazy = early < tokenizer.calls or tokenizer.calls <= rest
        require(is_lazy, f"all {early} calls of the tokenizer came before the first conversation")

    def test_a_missing_file_is_the_users_to_mend(self, subject: DatasetSubject) -> None:
        """A path that leads nowhere is a UsageError that names it."""
        if not subject.reads_file:
            return
        plan = msgspec.structs.replace(subject.plan, path="/nowhere/prompts.jsonl")
        try:
            dataset = subject.cls(plan, CountingTokenizer(), _SEED)
            next(dataset.conversations())
        except UsageError as error:
            require("/nowhere/prompts.jsonl" in str(error), f"the error names no file: {error}")
            return
        require(False, "a missing file went unnoticed")
