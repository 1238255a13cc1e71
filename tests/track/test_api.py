"""The tracker's public Python API."""

import doctest
import importlib
import subprocess
import sys

import pytest

import steelyard.track


@pytest.mark.parametrize("name", steelyard.track.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(steelyard.track, name).__doc__
    assert name in dir(steelyard.track)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'start_loging'"):
        steelyard.track.start_loging  # noqa: B018  it raises


def test_the_example_on_its_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module("steelyard.track"), verbose=False)
    assert (found.failed, found.attempted > 4) == (0, True)


_SDKS = (
    "mlflow", "wandb", "clearml", "aim", "trackio", "tensorboard", "opentelemetry", "torch",
    "pandas", "polars", "pyarrow", "duckdb", "jsonschema", "zmq",
)  # fmt: skip
_WORK = """
import sys
from steelyard.track import Experiment, start_logging, stop_logging
experiment = start_logging("e")
experiment.log_metric("m", 1.0)
stop_logging()
print(sorted(set(sys.argv[1:]) & set(sys.modules)))
"""


def test_a_run_without_backends_loads_no_sdk_and_no_database(tmp_path):
    """What a script pays for is what it uses."""
    done = subprocess.run(
        [sys.executable, "-c", _WORK, *_SDKS],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
