"""Datasets with one fault each, over one that makes words."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import DatasetPlan
from steelyard.domain.bench.ports import Tokenizer
from steelyard.testing.contracts.dataset import DatasetSubject


class WordDataset:
    """Conforms."""

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        self.plan, self.tokenizer, self.seed = plan, tokenizer, seed

    def one(self, index: int) -> Conversation:
        """Return the conversation at `index`."""
        rng = np.random.Generator(np.random.Philox(self.seed * 1000 + index))
        text = self.tokenizer.text_of(int(self.plan.isl_mean), rng)
        return Conversation(id=f"c{index}", turns=(Turn(text=text),))

    def conversations(self) -> Iterator[Conversation]:
        """Yield one after the other."""
        for index in range(self.plan.entries):
            yield self.one(index)


class Eager(WordDataset):
    """Makes everything before it yields anything."""

    def conversations(self) -> Iterator[Conversation]:
        """As above, with the fault."""
        return iter(list(super().conversations()))


class Unseeded(WordDataset):
    """Adds chance of its own."""

    def one(self, index: int) -> Conversation:
        """As above, with the fault."""
        text = f"{random.random()}"  # noqa: S311  the fault
        return Conversation(id=f"c{index}", turns=(Turn(text=text),))


class SharedIds(WordDataset):
    """Numbers conversations modulo seven."""

    def one(self, index: int) -> Conversation:
        """As above, with the fault."""
        return Conversation(id=f"c{index % 7}", turns=super().one(index).turns)


class EmptyTurns(WordDataset):
    """Yields a blank prompt now and then."""

    def one(self, index: int) -> Conversation:
        """As above, with the fault."""
        return super().one(index) if index % 9 else Conversation(id=f"c{index}", turns=(Turn(),))


class OneTooMany(WordDataset):
    """Counts its entries from zero to the end, the end included."""

    def conversations(self) -> Iterator[Conversation]:
        """As above, with the fault."""
        yield from super().conversations()
        yield self.one(self.plan.entries)


class UsedUp(WordDataset):
    """Can be read once."""

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        super().__init__(plan, tokenizer, seed)
        self.reading = super().conversations()

    def conversations(self) -> Iterator[Conversation]:
        """As above, with the fault."""
        return self.reading


class IgnoresItsFile(WordDataset):
    """Makes words although it was given a file."""


def _subject(cls: Any, **facts: Any) -> DatasetSubject:
    return DatasetSubject(cls, **facts)


HONEST = _subject(WordDataset)

SABOTEURS = [
    ("test_the_first_conversation_comes_before_the_last_is_made", _subject(Eager)),
    ("test_the_same_seed_gives_the_same_bytes", _subject(Unseeded)),
    ("test_conversations_can_be_sent", _subject(SharedIds)),
    ("test_conversations_can_be_sent", _subject(EmptyTurns)),
    ("test_the_plan_says_how_many", _subject(OneTooMany)),
    ("test_a_dataset_can_be_read_twice", _subject(UsedUp)),
    ("test_a_missing_file_is_the_users_to_mend", _subject(IgnoresItsFile, reads_file=True)),
]
