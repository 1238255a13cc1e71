"""The contract of a kind of tasks: what it accepts it can run, and what came of it is told."""

import copy
import json
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.attempts import RESULT_MAX, Ran, Work
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.domain.fleet.ports import TaskKind
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.local_messages import passed_on
from steelyard.testing.contracts.kit import Contract, require

WITHIN_S = 90.0
SECRET = "STEELYARD_KIT_TOKEN"  # noqa: S105  the name of a variable
_MARK = "kit-5e0b77c1a2d9"


@dataclass(frozen=True)
class TaskKindSubject:
    """A kind of tasks.

    Attributes:
        cls: its class, made without arguments.
        kind: the name under which it is found.
        good: a payload with which an attempt succeeds on this machine, in some seconds.
        bad: one that is accepted, and with which an attempt fails by itself; empty where there is
            none.
        wrong: payloads that are refused at submission; an unknown field is tried besides.
    """

    cls: type[TaskKind]
    kind: str
    good: Mapping[str, Any]
    bad: Mapping[str, Any] = field(default_factory=dict)
    wrong: tuple[Mapping[str, Any], ...] = ()

    def spec(self, payload: Mapping[str, Any]) -> TaskSpec:
        """Return a task with a payload of its own."""
        return TaskSpec(task_id="kit-1", kind=self.kind, payload=copy.deepcopy(dict(payload)))


def _prepared(subject: TaskKindSubject, payload: Mapping[str, Any]) -> TaskSpec:
    return next(iter(subject.cls().prepare(subject.spec(payload), ())))


def _carry_out(kind: TaskKind, spec: TaskSpec) -> Outcome:
    """Return what an attempt comes to; it is run as plainly as can be."""
    with tempfile.TemporaryDirectory() as name:
        work = kind.work(spec, name)
        _require_work(work)
        for file, data in work.files.items():
            path = Path(name) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        done = subprocess.run(
            work.argv,
            env=passed_on(dict(os.environ), ()) | work.env,
            cwd=Path(name) / work.cwd,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        ran = Ran(
            directory=name, exit_code=done.returncode, seconds=0.25, stdout=done.stdout,
            stderr=done.stderr,
        )  # fmt: skip
        return kind.outcome(spec, ran)


def _require_work(work: Any) -> None:
    require(isinstance(work, Work), f"work returned {work!r}, not a Work")
    require(work.argv, "it runs nothing")
    require(all(isinstance(word, str) for word in work.argv), "its argv is not all texts")
    for name in work.files:
        inside = not name.startswith("/") and ".." not in name.split("/")
        require(inside, f"it writes {name}, which is not in the working directory")


def _require_outcome(outcome: Any) -> None:
    require(isinstance(outcome, Outcome), f"outcome returned {outcome!r}, not an Outcome")
    text = json.dumps(outcome.result, allow_nan=False)
    require(len(text) <= RESULT_MAX, f"its result has {len(text)} bytes")
    require(math.isfinite(outcome.seconds), f"it took {outcome.seconds} s")


class TaskKindContract(Contract):
    """Inherit, and override `subject` with a `TaskKindSubject`."""

    kind = "task_kind"

    def test_what_is_accepted_can_be_told_on(self, subject: TaskKindSubject) -> None:
        """Tasks of this kind, with names of their own and plain payloads; accepted again as is."""
        kind = subject.cls()
        given = subject.spec(subject.good)
        specs = list(kind.prepare(given, ()))
        require(specs, "prepare returned no task")
        require(len({spec.task_id for spec in specs}) == len(specs), "two tasks have one id")
        require(given == subject.spec(subject.good), "prepare changed what it was given")
        for spec in specs:
            require(spec.kind == subject.kind, f"a task of kind {spec.kind} came of it")
            told = msgspec.json.decode(msgspec.json.encode(spec), type=TaskSpec)
            again = list(kind.prepare(told, ()))
            require(again == [spec], "what it accepted is another task after it was told on")

    def test_what_is_wrong_is_refused(self, subject: TaskKindSubject) -> None:
        """At submission, with a sentence for its author, and not when it runs."""
        unknown = {**subject.good, "no_such_field": 1}
        for payload in (*subject.wrong, unknown):
            try:
                specs = subject.cls().prepare(subject.spec(payload), ())
            except UsageError as error:
                require(len(str(error)) > 15, f"{payload} is refused with {str(error)!r}")
                continue
            raise AssertionError(f"{payload} is accepted: {specs!r}")

    def test_earlier_results_may_be_anything(self, subject: TaskKindSubject) -> None:
        """Those of failures, of older versions, or none."""
        earlier = [None, {}, {"durations": None}, "text", 3]
        require(subject.cls().prepare(subject.spec(subject.good), earlier), "it returned no task")

    def test_the_same_task_runs_the_same(self, subject: TaskKindSubject) -> None:
        """A retry is no other task."""
        spec = _prepared(subject, subject.good)
        with tempfile.TemporaryDirectory() as name:
            works = [subject.cls().work(spec, name) for _ in range(2)]
        require(works[0] == works[1], "two attempts run different things")

    def test_an_attempt_succeeds(self, subject: TaskKindSubject) -> None:
        """Its result is plain, and what ran is told."""
        outcome = _carry_out(subject.cls(), _prepared(subject, subject.good))
        _require_outcome(outcome)
        require(outcome.ending is Ending.SUCCEEDED, f"it is {outcome.ending}: {outcome.error}")
        require(not outcome.error, f"it succeeded with the error {outcome.error!r}")
        require(outcome.seconds == 0.25, "its seconds are not those that it ran")
        require(outcome.exit_code == 0, f"its exit code is {outcome.exit_code}")

    def test_a_failure_is_told_with_a_reason(self, subject: TaskKindSubject) -> None:
        """Not as a success, and with a sentence."""
        if not subject.bad:
            return
        outcome = _carry_out(subject.cls(), _prepared(subject, subject.bad))
        _require_outcome(outcome)
        failed = outcome.ending in (Ending.FAILED, Ending.UNREACHABLE)
        require(failed, f"it is {outcome.ending}")
        require(outcome.error, "it failed without a word")

    def test_a_crash_is_no_success(self, subject: TaskKindSubject) -> None:
        """Killed before it wrote anything: the signal is named, its files may be missing."""
        with tempfile.TemporaryDirectory() as name:
            ran = Ran(directory=name, exit_code=-9, signal="SIGKILL", seconds=0.25)
            outcome = subject.cls().outcome(_prepared(subject, subject.good), ran)
        _require_outcome(outcome)
        require(outcome.ending is Ending.FAILED, f"it is {outcome.ending}")
        require("SIGKILL" in outcome.error, f"it failed with {outcome.error!r}")
        require(outcome.exit_code == -9, f"its exit code is {outcome.exit_code}")

    def test_no_secret_gets_into_its_work(self, subject: TaskKindSubject) -> None:
        """What the worker knows is not written into files and variables of an attempt."""
        os.environ[SECRET] = _MARK
        try:
            work = subject.cls().work(_prepared(subject, subject.good), "/nowhere")
        finally:
            del os.environ[SECRET]
        told = repr((work.argv, work.env, work.cwd, dict(work.files)))
        require(_MARK not in told, f"it hands {SECRET} down")
