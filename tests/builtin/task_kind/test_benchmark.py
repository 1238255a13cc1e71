"""A benchmark's task tells the verdict, and knows what it works against."""

import json

import pytest

from steelyard.builtin.task_kind.benchmark import BenchmarkKind
from steelyard.domain.fleet.attempts import Ran
from steelyard.domain.fleet.model import Ending, TaskSpec

KIND = BenchmarkKind()


def spec(endpoint="", **payload):
    return TaskSpec(task_id="b", kind="benchmark", payload=payload, endpoint=endpoint)


@pytest.mark.parametrize(
    ("payload", "endpoint"),
    [
        ({"plan": {"endpoint": {"urls": ["http://a:1", "http://b:2"]}}}, "http://a:1"),
        ({"plan": {"endpoint": {"urls": "http://a:1"}}}, "http://a:1"),
        ({"plan": {"endpoint": {"urls": ["http://a:1"]}}, "flags": ["-u", "http://c"]}, "http://c"),
        ({"flags": ["--model", "m", "--url=http://c:3/v1"]}, "http://c:3/v1"),
        ({"flags": ["--url"]}, ""),
        ({"plan": {"endpoint": [1]}}, ""),
        ({"file": "/plans/a.yaml"}, ""),
    ],
)
def test_its_endpoint_is_filled_in(payload, endpoint):
    (prepared,) = KIND.prepare(spec(**payload), ())
    assert prepared.endpoint == endpoint
    (kept,) = KIND.prepare(spec("mine", **payload), ())
    assert kept.endpoint == "mine"


def test_nothing_writes_elsewhere_or_draws():
    """Ours come last, and of a flag given twice the last counts."""
    work = KIND.work(spec(file="/a.yaml", flags=["--artifact-dir", "/x", "--ui", "simple"]), "/d")
    assert work.argv[-4:] == ("--artifact-dir", "artifacts", "--ui", "none")


def summary(status):
    causes = [{"code": "c", "status": status, "message": "Too few."}] if status != "VALID" else []
    nothing = {"count": 0, "avg": None}
    return {
        "verdict": {"status": status, "causes": causes}, "run": {"run_id": "r"}, "phases": [],
        "errors": [], "metrics": {"latency": {"count": 3, "avg": 1.0}, "none": nothing},
    }  # fmt: skip


def outcome(directory, code, status=None):
    (directory / "artifacts").mkdir()
    if status:
        text = json.dumps(summary(status))
        (directory / "artifacts/profile_export.json").write_text(text)
    ran = Ran(directory=str(directory), exit_code=code, seconds=2.0, stderr=b"error: no.\n")
    return KIND.outcome(spec(flags=["x"]), ran)


def test_a_run_that_went_well_has_its_summary(tmp_path):
    found = outcome(tmp_path, 0, "VALID")
    assert found.ending is Ending.SUCCEEDED
    assert (found.result["verdict"], found.result["run_id"]) == ("VALID", "r")
    assert list(found.result["metrics"]) == ["latency"]


def test_a_gate_that_failed_names_the_verdict_and_keeps_the_summary(tmp_path):
    found = outcome(tmp_path, 1, "INVALID")
    assert (found.ending, found.error) == (Ending.FAILED, "verdict INVALID: Too few.")
    assert found.result["metrics"]


@pytest.mark.parametrize(
    ("code", "ending", "words"),
    [
        (4, Ending.UNREACHABLE, "exit code 4: error: no."),
        (2, Ending.FAILED, "exit code 2: error: no."),
        (0, Ending.FAILED, "the run left no profile_export.json"),
    ],
)
def test_a_run_without_a_summary_says_why(tmp_path, code, ending, words):
    found = outcome(tmp_path, code)
    assert (found.ending, found.error, found.result) == (ending, words, None)
