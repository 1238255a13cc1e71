"""Payloads are refused with a sentence, and ends are told in words."""

import msgspec
import pytest

from steelyard.domain.fleet.attempts import (
    Ran,
    how_it_ended,
    payload_of,
    plain_outcome,
    relative_name,
    text_variables,
)
from steelyard.domain.fleet.model import Ending, TaskSpec
from steelyard.kernel.errors import UsageError


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    names: tuple[str, ...] = ()


def spec(**payload):
    return TaskSpec(task_id="t7", kind="thing", payload=payload)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"size": 1, "nmaes": ["a"]}, "unknown field; got 'nmaes'; expected one of size, names"),
        ({"size": 1, "nmaes": ["a"]}, "Did you mean 'names'"),
        ({}, "can't be used: Object missing required field `size`"),
        ({"size": "3"}, "Expected `int`, got `str` - at `$.size`"),
        ({"size": 1, "names": [2]}, "at `$.names[0]`"),
    ],
)
def test_a_wrong_payload_is_named_with_its_task_and_field(payload, words):
    with pytest.raises(UsageError) as caught:
        payload_of(spec(**payload), Payload)
    assert "The payload of thing task t7" in str(caught.value)
    assert words in str(caught.value)


def test_a_right_payload_is_the_structure():
    assert payload_of(spec(size=2, names=["a"]), Payload) == Payload(size=2, names=("a",))


@pytest.mark.parametrize("name", ["", "/a", "a/../b", "..", "a//b", "./a", "a/", "a\0"])
def test_no_file_is_written_elsewhere(name):
    with pytest.raises(UsageError, match="names a file elsewhere"):
        relative_name(spec(), name)


def test_variables_are_texts_that_a_program_can_be_given():
    assert text_variables(spec(), {"A": "b=c"}) == {"A": "b=c"}
    for env in ({"": "x"}, {"A=B": "x"}, {"A": "x\0"}):
        with pytest.raises(UsageError, match="has a variable that can't be set"):
            text_variables(spec(), env)


def ran(code, signal="", stderr=b""):
    return Ran(directory="/", exit_code=code, signal=signal, seconds=1.5, stderr=stderr)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (ran(3), "exit code 3"),
        (
            ran(1, stderr=b"Traceback\nValueError: \xff no\n\n"),
            "exit code 1: ValueError: \ufffd no",
        ),
        (ran(-11, "SIGSEGV"), "killed by SIGSEGV"),
        (ran(-9, "SIGKILL"), "killed by SIGKILL (not by the fleet; is the memory used up?)"),
        (ran(2, stderr=b"x" * 9000), "exit code 2: " + "x" * 500),
    ],
)
def test_an_end_is_a_sentence(ended, words):
    assert how_it_ended(ended) == words
    outcome = plain_outcome(ended, {"a": 1})
    assert (outcome.ending, outcome.error, outcome.exit_code) == (
        Ending.FAILED, words, ended.exit_code,
    )  # fmt: skip
    assert (outcome.seconds, outcome.result) == (1.5, {"a": 1})


def test_only_zero_is_success():
    assert plain_outcome(ran(0, stderr=b"warning")).ending is Ending.SUCCEEDED
    assert not plain_outcome(ran(0, stderr=b"warning")).error
