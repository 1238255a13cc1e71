"""A suite's task runs real pytest, and tells failures, flaky tests and what can't be collected."""

import msgspec
import pytest
from local_rig import LocalRig

from steelyard.builtin.task_kind.pytest import PytestKind
from steelyard.domain.fleet.model import Ending, TaskSpec

PLAIN = ("-p", "no:cacheprovider")
ENV = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
SUITE = """
import os, pathlib, pytest
@pytest.fixture
def breaks():
    yield
    raise RuntimeError("tear-down")
def flaky(name):
    mark = pathlib.Path(os.environ["MARKS"], name)
    was = mark.exists()
    mark.touch()
    assert was, "only now and then"
@pytest.mark.parametrize("x", ["a b", "::", "ü", "<&>"])
def test_values(x): pass
def test_torn(breaks): pass
def test_flaky(): flaky("one")
class TestIn:
    def test_flaky(self): flaky("two")
@pytest.mark.skip(reason="another day")
def test_skipped(): pass
@pytest.mark.xfail(strict=True)
def test_expected(): assert False
def test_noise(): print("x" * 100000)
"""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "suite").mkdir()
    (tmp_path / "marks").mkdir()
    (tmp_path / "suite/test_it.py").write_text(SUITE)
    return tmp_path


def payload(suite, *names, **more):
    return {
        "paths": [str(suite / "suite" / name) for name in names or ("test_it.py",)],
        "rootdir": str(suite), "args": PLAIN, "env": {"MARKS": str(suite / "marks"), **ENV}, **more,
    }  # fmt: skip


async def run(place, given):
    async with LocalRig(place / "fleet") as rig:
        return await rig.run(kind="pytest", payload=given)


async def test_reruns_tell_flaky_tests_from_broken_ones(suite):
    outcome = await run(suite, payload(suite, reruns=2))
    result = outcome.result
    assert outcome.ending is Ending.FAILED
    assert outcome.error == (
        "1 of 10 tests failed, first suite/test_it.py::test_torn: "
        'failed on teardown with "RuntimeError: tear-down"'
    )
    assert result["flaky"] == [
        "suite/test_it.py::test_flaky",
        "suite/test_it.py::TestIn::test_flaky",
    ]
    counts = {
        key: result[key] for key in ("tests", "passed", "failed", "errors", "skipped", "runs")
    }
    assert counts == {"tests": 10, "passed": 7, "failed": 0, "errors": 1, "skipped": 2, "runs": 3}
    assert len(result["durations"]) == 10
    assert "RuntimeError: tear-down" in result["failures"][0]["text"]


async def test_flaky_tests_pass_unless_they_must_not(suite):
    names = ("test_it.py::test_flaky", "test_it.py::test_noise")
    outcome = await run(suite, payload(suite, *names, reruns=1))
    assert (outcome.ending, outcome.exit_code) == (Ending.SUCCEEDED, 0)
    assert outcome.result["flaky"] == ["suite/test_it.py::test_flaky"]
    for mark in (suite / "marks").iterdir():
        mark.unlink()
    outcome = await run(suite, payload(suite, *names, reruns=1, flaky_fails=True))
    assert outcome.ending is Ending.FAILED
    assert outcome.error == "1 flaky tests: suite/test_it.py::test_flaky"


async def test_without_reruns_a_failure_is_a_failure(suite):
    outcome = await run(suite, payload(suite, "test_it.py::test_flaky"))
    assert outcome.error.endswith("suite/test_it.py::test_flaky: AssertionError: only now and then")
    assert (outcome.result["runs"], outcome.result["flaky"]) == (1, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module\n", "or the suite can't be collected, first suite.test_bad: "),
        ("x = 1\n", "no tests were collected"),
        ("import pytest\npytest.exit('no more')\n", "pytest was interrupted"),
        ("import os\ndef test_a(): os.kill(os.getpid(), 11)\n", "killed by SIGSEGV"),
    ],
)
async def test_a_suite_that_can_not_run_says_why(suite, text, words):
    (suite / "suite/test_bad.py").write_text(text)
    outcome = await run(suite, payload(suite, "test_bad.py", reruns=1))
    assert outcome.ending is Ending.FAILED
    assert words in outcome.error


async def test_a_path_that_is_not_there_is_named(suite):
    outcome = await run(suite, payload(suite, "test_none.py"))
    assert outcome.error.startswith("pytest was used wrongly: file or directory not found: ")
    assert outcome.error.endswith("test_none.py")


def test_shards_are_tasks_with_names_and_the_durations_of_earlier_results():
    spec = TaskSpec(
        task_id="s", kind="pytest", payload={"paths": ["t"], "shards": 3}, idempotency_key="k",
    )  # fmt: skip
    earlier = [{"durations": {"a": 3.0, "b": 3.0}}]
    shards = PytestKind().prepare(spec, earlier)
    assert [each.task_id for each in shards] == ["s-1of3", "s-2of3", "s-3of3"]
    assert [each.idempotency_key for each in shards] == ["k-1of3", "k-2of3", "k-3of3"]
    assert [each.payload["shard"] for each in shards] == [1, 2, 3]
    assert all(each.payload["durations"] == {"a": 3.0, "b": 3.0} for each in shards)
    assert all(each.estimate_s == 2.0 for each in shards)
    told = msgspec.structs.replace(spec, estimate_s=30.0)
    assert PytestKind().prepare(told, earlier)[0].estimate_s == 10.0


async def test_a_shard_without_tests_is_no_failure(suite):
    given = payload(suite, "test_it.py::test_noise", shards=2)
    for shard, count in ((1, 1), (2, 0)):
        outcome = await run(suite, {**given, "shard": shard})
        assert outcome.ending is Ending.SUCCEEDED
        assert (outcome.result["tests"], outcome.result["shard"]) == (count, f"{shard}/2")


async def test_a_forged_report_fails_the_task_and_nothing_else(suite):
    text = (
        "import atexit, pathlib\n"
        "def test_a():\n"
        "    here = pathlib.Path(__import__('os').environ['STEELYARD_PYTEST_SELECTION']).parent\n"
        "    bad = '<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>'\n"
        "    atexit.register(lambda: (here / 'junit-0.xml').write_text(bad))\n"
    )
    (suite / "suite/test_bad.py").write_text(text)
    outcome = await run(suite, payload(suite, "test_bad.py"))
    assert outcome.ending is Ending.FAILED
    assert "declares a document type" in outcome.error


SKIPPED_THEN = """
import os, pathlib, pytest
def test_it():
    mark = pathlib.Path(os.environ["MARKS"], "once")
    if mark.exists():
        pytest.skip("not again")
    mark.touch()
    assert False, "the first time"
"""


async def test_a_test_that_is_skipped_when_it_is_run_again_has_not_passed(suite):
    (suite / "suite/test_skips.py").write_text(SKIPPED_THEN)
    outcome = await run(suite, payload(suite, "test_skips.py", reruns=1))
    assert outcome.ending is Ending.FAILED
    assert (outcome.result["failed"], outcome.result["flaky"]) == (1, [])
