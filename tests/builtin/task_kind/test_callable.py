"""A function is called by its path, with JSON in and JSON out."""

import sys

import pytest
from local_rig import LocalRig

from steelyard.domain.fleet.model import Ending

MODULE = """
import asyncio, os, sys
class Model:
    @staticmethod
    def score(x, *, scale=1): return {"score": x * scale, "cwd": os.getcwd()}
async def later(x):
    await asyncio.sleep(0.01)
    return [x, None]
def text(): print("said"); return "ü"
def no_json(): return {1, 2}
def nan(): return float("nan")
def fails(): raise KeyError("missing")
def leaves(): sys.exit(5)
def imports(): import ports
"""


@pytest.fixture
def module(tmp_path):
    (tmp_path / "fleet_module.py").write_text(MODULE)
    return tmp_path


async def call(place, function, *args, **more):
    given = {"function": f"fleet_module:{function}", "args": args, "path": [str(place)], **more}
    async with LocalRig(place / "fleet") as rig:
        return await rig.run(kind="callable", payload=given)


async def test_what_it_returns_is_the_result(module):
    outcome = await call(module, "Model.score", 3, kwargs={"scale": 2})
    assert outcome.ending is Ending.SUCCEEDED
    assert outcome.result["score"] == 6
    assert outcome.result["cwd"].endswith("/work")
    assert (await call(module, "later", 1)).result == [1, None]
    assert (await call(module, "text")).result == "ü"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("fails", "KeyError: 'missing'"),
        ("leaves", "SystemExit: 5"),
        ("no_json", "returned what JSON can't hold: Object of type set"),
        ("nan", "returned what JSON can't hold: Out of range float"),
        ("absent", "AttributeError: module 'fleet_module' has no attribute 'absent'"),
        ("imports", "ModuleNotFoundError: No module named 'ports'"),
    ],
)
async def test_a_failure_is_what_it_raised(module, function, words):
    """The last: files that stand beside our own are no modules of a stranger's."""
    outcome = await call(module, function)
    assert outcome.ending is Ending.FAILED
    assert words in outcome.error


async def test_an_interpreter_can_be_named(module):
    outcome = await call(module, "text", python=sys.executable)
    assert outcome.ending is Ending.SUCCEEDED
    outcome = await call(module, "text", python="/no/such/python")
    assert outcome.error == "/no/such/python can't be run: no such file or directory"
