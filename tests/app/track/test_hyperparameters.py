"""Hyperparameters that a script has anyway."""

import argparse
import json
import logging
import os
from dataclasses import dataclass

import pydantic
import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.hyperparameters import (
    LEFT_OUT_TAG,
    NAMES_MAX,
    Wanted,
    capture_hyperparameters,
    wanted,
)
from steelyard.app.track.logging import start_logging, stop_logging
from steelyard.kernel.errors import UsageError
from steelyard.kernel.secrets import REDACTED

GLOBAL_SEED = 7


@dataclass
class Config:
    lr: float = 0.1
    api_key: str = "hunter2"


class Model(pydantic.BaseModel):
    depth: int = 3


def parse(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--hf-token")
    return parser.parse_args(words)


def params_of(experiment):
    return experiment.snapshot().params


def test_what_was_parsed_before_the_run_began_is_found_where_it_was_started():
    args = parse("--lr", "0.5", "--hf-token", "abc-def")
    with Experiment("e", automagic=True) as run:
        other = 3
    assert params_of(run) == {"lr": 0.5, "hf_token": REDACTED}
    assert args.lr == 0.5
    assert other == 3


def test_what_is_parsed_while_it_runs_is_found_and_nothing_after_it():
    before = argparse.ArgumentParser.__dict__["parse_known_args"]
    start_logging("e", automagic="argparse")
    run = start_logging("inner", automagic={"argparse": True})
    parse("--lr", "0.25")
    stop_logging()
    stop_logging()
    parse("--lr", "9")
    assert params_of(run) == {"lr": 0.25, "hf_token": None}
    assert argparse.ArgumentParser.__dict__["parse_known_args"] is before


def test_two_namespaces_are_told_apart_by_their_variables():
    one, two = parse("--lr", "1"), parse("--lr", "2")
    run = start_logging("e", automagic="argparse")
    stop_logging()
    assert (params_of(run)["one.lr"], params_of(run)["two.lr"]) == (one.lr, two.lr)


def test_only_variables_that_are_named_are_looked_at():
    width, password, unnamed = 8, "s3same", "not asked for"
    with Experiment("e", automagic={"locals": ["width", "password", "GLOBAL_SEED"]}) as run:
        pass
    assert params_of(run) == {"width": width, "password": REDACTED, "GLOBAL_SEED": 7}
    kept = b"".join(p.read_bytes() for p in run.directory.rglob("*") if p.is_file())
    assert unnamed.encode() not in kept
    assert password.encode() not in kept


def test_a_variable_that_is_not_there_is_said_and_the_script_goes_on(caplog):
    with Experiment("e", automagic={"locals": ["nothing"]}) as run:
        run.log_metric("m", 1.0)
    assert "'nothing'" in caplog.text
    assert params_of(run) == {}


@pytest.mark.parametrize("automagic", [{"locals": True}, {"locals": [3]}, {"configs": 3}])
def test_all_variables_can_not_be_asked_for(automagic):
    with pytest.raises(UsageError, match="one by one"):
        wanted(automagic)


@pytest.mark.parametrize(
    ("automagic", "found"),
    [
        (None, Wanted()),
        (False, Wanted()),
        (True, Wanted(argparse=True)),
        ("torch, argparse", Wanted(argparse=True)),
        (["torch"], Wanted()),
        ({"torch": True, "argparse": False}, Wanted()),
        ({"argparse": {}, "locals": "lr"}, Wanted(argparse=True, locals=("lr",))),
    ],
)
def test_automagic_is_read_for_what_it_says_of_hyperparameters(automagic, found):
    assert wanted(automagic) == found


def test_structures_variables_and_files_are_captured_by_one_call(tmp_path):
    (tmp_path / "train.yaml").write_text("optimizer: {lr: 0.1}\ndb: {password: s3same}\n")
    (tmp_path / "model.json").write_text(json.dumps({"depth": 3}))
    (tmp_path / "data.toml").write_text("[split]\ntrain = 0.9\n")
    width = 8
    with Experiment("e") as run:
        found = capture_hyperparameters(
            Config(),
            Model(),
            {"a": {"b": 1}},
            locals="width",
            configs=["train.yaml", tmp_path / "model.json", "data.toml"],
        )
    assert params_of(run) == {
        "lr": 0.1, "api_key": REDACTED, "depth": 3, "a.b": 1, "width": width,
        "train.optimizer.lr": 0.1, "train.db.password": REDACTED, "model.depth": 3,
        "data.split.train": 0.9,
    }  # fmt: skip
    assert found["a.b"] == 1


def test_a_prefix_stands_in_front_of_all_names():
    width = 8
    with Experiment("e") as run:
        capture_hyperparameters({"a": 1}, locals=["width"], prefix="model")
    assert params_of(run) == {"model.a": 1, "model.width": width}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.yaml", "a: [", "ParserError"),
        ("a.json", "{", "DecodeError"),
        ("a.toml", "=", "TOMLDecodeError"),
        ("a.yaml", "- 1", "has no names"),
        ("a.yaml", "a: " + "x" * 1_000_001, "too large"),
        ("a.ini", "[a]", "no configuration file"),
        ("none.yaml", None, "no configuration file"),
    ],
)
def test_a_file_that_is_none_is_said_and_the_script_goes_on(tmp_path, caplog, name, text, why):
    if text is not None:
        (tmp_path / name).write_text(text)
    with Experiment("e") as run:
        assert capture_hyperparameters(configs=name) == {}
    assert why in caplog.text
    assert run.snapshot().status == "finished"


def test_a_pipe_is_no_configuration_and_nobody_waits_for_it(tmp_path, caplog):
    os.mkfifo(tmp_path / "a.yaml")
    with Experiment("e"):
        capture_hyperparameters(configs="a.yaml")
    assert "no configuration file" in caplog.text


def test_whatever_an_object_of_the_script_does_stays_there(caplog):
    class Odd(dict):
        def items(self):
            raise KeyError("odd")

    with Experiment("e") as run:
        assert capture_hyperparameters(Odd(a=1), {"b": 2}) == {"b": 2}
    assert "KeyError" in caplog.text
    assert params_of(run) == {"b": 2}


def test_names_of_a_run_are_bounded_and_what_is_left_out_is_counted():
    with Experiment("e") as run:
        for number in range(3):
            capture_hyperparameters({f"p{number}-{i}": i for i in range(500)})
            capture_hyperparameters({"p0-0": number})
    kept = run.snapshot()
    assert len(kept.params) == NAMES_MAX
    assert kept.params["p0-0"] == 2
    assert kept.tags[LEFT_OUT_TAG] == "500"


def test_without_a_run_nothing_is_captured_and_it_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        assert capture_hyperparameters({"a": 1}) == {}
    assert "no experiment runs" in caplog.text
