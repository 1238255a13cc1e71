"""Kinds of tasks with one fault each."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from steelyard.domain.fleet.attempts import Ran, Work, payload_of, plain_outcome, refuse
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.testing.contracts.task_kind import TaskKindSubject


class WordsPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a task of these is given."""

    text: str


class Words:
    """Conforms: has the shell count the words of a text."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """Check the payload."""
        if not payload_of(spec, WordsPayload).text:
            raise refuse(spec, "has no text")
        return (spec,)

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return what counts."""
        text = payload_of(spec, WordsPayload).text
        shell = "grep -q . words.txt && wc -w < words.txt"
        return Work(argv=("/bin/sh", "-c", shell), files={"words.txt": text.encode()})

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return the count."""
        return plain_outcome(ran, int(ran.stdout) if ran.exit_code == 0 else None)


class AcceptsAll(Words):
    """Looks at a payload only when it runs."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """As above, with the fault."""
        return (spec,)


class Changes(Words):
    """Notes in the payload that it was there."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """As above, with the fault."""
        specs = super().prepare(spec, earlier)
        spec.payload["text"] += " seen"
        return specs


class Twins(Words):
    """Splits a task into two of one name."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """As above, with the fault."""
        return (*super().prepare(spec, earlier), spec)


class Trusting(Words):
    """Takes earlier results for its own."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> Sequence[TaskSpec]:
        """As above, with the fault."""
        seconds = sum(result["seconds"] for result in earlier)
        return [msgspec.structs.replace(s, estimate_s=seconds) for s in super().prepare(spec, ())]


class Optimist(Words):
    """Calls it a success when it is over."""

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """As above, with the fault."""
        return Outcome(ending=Ending.SUCCEEDED, exit_code=ran.exit_code, seconds=ran.seconds)


class Silent(Words):
    """Fails without a word."""

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """As above, with the fault."""
        return msgspec.structs.replace(super().outcome(spec, ran), error="")


class Bytes(Words):
    """Returns what is no plain value."""

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """As above, with the fault."""
        return plain_outcome(ran, ran.stdout)


class NeedsFiles(Words):
    """Reads its result before it looks at the exit code."""

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """As above, with the fault."""
        return plain_outcome(ran, int(ran.stdout))


class WritesElsewhere(Words):
    """Writes beside its working directory."""

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """As above, with the fault."""
        return msgspec.structs.replace(super().work(spec, directory), files={"../words.txt": b"a"})


class HandsDown(Words):
    """Gives an attempt all variables of its worker."""

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """As above, with the fault."""
        return msgspec.structs.replace(super().work(spec, directory), env=dict(os.environ))


class Counts(Words):
    """Runs another thing each time."""

    count = 0

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """As above, with the fault."""
        Counts.count += 1
        env = {"COUNT": str(Counts.count)}
        return msgspec.structs.replace(super().work(spec, directory), env=env)


def _subject(cls: Any) -> TaskKindSubject:
    return TaskKindSubject(
        cls, "words", good={"text": "a b"}, bad={"text": "\n"}, wrong=({}, {"text": 3})
    )


HONEST = _subject(Words)

_TOLD = "test_what_is_accepted_can_be_told_on"
_CRASH = "test_a_crash_is_no_success"
SABOTEURS = [
    ("test_what_is_wrong_is_refused", _subject(AcceptsAll)),
    (_TOLD, _subject(Changes)),
    (_TOLD, _subject(Twins)),
    ("test_earlier_results_may_be_anything", _subject(Trusting)),
    ("test_a_failure_is_told_with_a_reason", _subject(Optimist)),
    ("test_a_failure_is_told_with_a_reason", _subject(Silent)),
    (_CRASH, _subject(Optimist)),
    (_CRASH, _subject(NeedsFiles)),
    ("test_an_attempt_succeeds", _subject(Bytes)),
    ("test_an_attempt_succeeds", _subject(WritesElsewhere)),
    ("test_no_secret_gets_into_its_work", _subject(HandsDown)),
    ("test_the_same_task_runs_the_same", _subject(Counts)),
]
