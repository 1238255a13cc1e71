"""argparse tells a run what it parsed, and scripts notice nothing."""

import argparse

import pytest

from steelyard.builtin.framework.argparse import ArgparseFramework
from steelyard.testing.contracts.framework import (
    FrameworkContract,
    FrameworkSubject,
    RecordingSink,
    Told,
    installed,
)


def parser():
    made = argparse.ArgumentParser(exit_on_error=False)
    made.add_argument("--lr", type=float, default=0.1)
    made.add_argument("--layers", type=int, nargs="*", default=[1, 2])
    made.add_argument("--name")
    return made


def use():
    parsed = parser().parse_args(["--lr", "0.5", "--name", "x"])
    return Told(params=dict(vars(parsed)))


SUBJECT = FrameworkSubject(
    ArgparseFramework, lambda: [argparse], use, lambda: [argparse.ArgumentParser, argparse]
)


class TestArgparseFramework(FrameworkContract):
    """The kit that every framework passes."""

    @pytest.fixture
    def subject(self):
        return SUBJECT


@pytest.fixture
def sink():
    told = RecordingSink({})
    with installed(SUBJECT, lambda: told):
        yield told


def test_a_subcommand_is_told_once_with_what_stands_before_it(sink, monkeypatch):
    calls = []
    monkeypatch.setattr(sink, "log_params", calls.append)
    outer = parser()
    outer.add_subparsers(dest="command").add_parser("train").add_argument("--epochs", type=int)
    outer.parse_args(["--lr", "1", "train", "--epochs", "3"])
    (told,) = calls
    assert (told["lr"], told["command"], told["epochs"]) == (1.0, "train", 3)


def test_what_is_not_known_to_the_parser_is_no_parameter(sink):
    known, rest = parser().parse_known_args(["--lr", "1", "--other", "2"])
    assert rest == ["--other", "2"]
    assert sink.told.params == vars(known)


def test_a_parser_that_refuses_tells_nothing_and_raises_what_it_did(sink):
    with pytest.raises(argparse.ArgumentError):
        parser().parse_args(["--lr", "much"])
    assert sink.told.params == {}


def test_an_odd_value_becomes_its_type_and_a_long_list_is_cut(sink):
    made = argparse.ArgumentParser()
    made.set_defaults(
        thing=object(), run=use, many=list(range(1_000)), file=argparse.Namespace(a=1)
    )
    made.parse_args([])
    told = sink.told.params
    assert (told["thing"], told["file.a"]) == ("<builtins.object>", 1)
    assert told["run"].endswith("use")
    assert told["many"][-1] == "… 1000 items"
