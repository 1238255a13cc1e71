"""A pytest suite: whole or in shards, with a JUnit report, and flaky tests told by reruns."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.attempts import (
    Ran,
    Work,
    payload_of,
    plain_outcome,
    refuse,
    text_variables,
)
from steelyard.domain.fleet.junit import BYTES_MAX, Case, parse_junit
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.domain.fleet.suites import recorded_durations, suite_result
from steelyard.runtime.fleet import attempt_pytest, attempt_selection

SHARDS_MAX = 1_000
RERUNS_MAX = 10
_CODES = {
    2: "pytest was interrupted, or the suite can't be collected",
    3: "pytest had an internal error",
    4: "pytest was used wrongly",
    5: "no tests were collected",
}


class PytestPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a pytest task is given.

    Attributes:
        paths: files, directories or names of tests, as pytest takes them.
        rootdir: where pytest runs, an absolute path; the attempt's own directory without it.
        args: further arguments of pytest.
        reruns: how often what failed is run again; what passes then is flaky, not failed.
        flaky_fails: a flaky test fails the task all the same.
        shards: how many tasks the suite is divided into, of equal duration by earlier results.
        shard: which of them this is, from 1; 0 before it is divided.
        grouped: tests of a file stay in one shard.
        durations: seconds by test, filled in when it is divided.
        env: variables.
        python: the interpreter that has pytest; Steelyard's own without it.
    """

    paths: tuple[str, ...]
    rootdir: str = ""
    args: tuple[str, ...] = ()
    reruns: int = 0
    flaky_fails: bool = False
    shards: int = 1
    shard: int = 0
    grouped: bool = False
    durations: dict[str, float] = {}
    env: dict[str, str] = {}
    python: str = ""


class PytestKind:
    """Succeeds when no test failed; its result has counts, failures, flaky tests and durations."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> tuple[TaskSpec, ...]:
        """Return the suite, or its shards: tasks `ID-1of4` and so on."""
        payload = _payload(spec)
        if payload.shards == 1 or payload.shard:
            return (spec,)
        durations = payload.durations or recorded_durations(earlier)
        seconds = sum(durations.values()) / payload.shards
        return tuple(
            _shard(spec, payload, durations, number, seconds)
            for number in range(1, payload.shards + 1)
        )

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return what runs pytest, and reruns what failed."""
        payload = _payload(spec)
        said = {
            "paths": payload.paths, "args": payload.args, "rootdir": payload.rootdir,
            "reruns": payload.reruns,
            "selection": {
                "shard": payload.shard or 1, "shards": payload.shards,
                "grouped": payload.grouped, "durations": payload.durations,
            },
        }  # fmt: skip
        plugin = Path(attempt_selection.__file__)
        return Work(
            argv=(payload.python or sys.executable, "-P", attempt_pytest.__file__),
            env=text_variables(spec, payload.env),
            files={
                "suite.json": msgspec.json.encode(said),
                # Alone in its directory: nothing else of ours is to be imported by a suite.
                f"plugin/{plugin.name}": plugin.read_bytes(),
            },
        )

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return the counts of its reports; what can't be read fails it."""
        payload = _payload(spec)
        result = suite_result(_runs(Path(ran.directory)))
        result["shard"] = f"{payload.shard}/{payload.shards}" if payload.shard else ""
        outcome = plain_outcome(ran, result)
        flaky = ", ".join(result["flaky"][:3])
        if outcome.ending is Ending.SUCCEEDED:
            if not (flaky and payload.flaky_fails):
                return outcome
            text = f"{len(result['flaky'])} flaky tests: {flaky}"
            return msgspec.structs.replace(outcome, ending=Ending.FAILED, error=text)
        return msgspec.structs.replace(outcome, error=_why(ran, result) or outcome.error)


def _payload(spec: TaskSpec) -> PytestPayload:
    payload = payload_of(spec, PytestPayload)
    if not payload.paths or any(not path or path.startswith("-") for path in payload.paths):
        raise refuse(spec, "names no tests", got=payload.paths, expected="paths of tests")
    if payload.rootdir and not payload.rootdir.startswith("/"):
        raise refuse(spec, "has a rootdir that depends on where it runs", got=payload.rootdir,
                     expected="an absolute path")  # fmt: skip
    for name, most in (("shards", SHARDS_MAX), ("reruns", RERUNS_MAX), ("shard", payload.shards)):
        value = getattr(payload, name)
        least = 1 if name == "shards" else 0
        if not least <= value <= most:
            raise refuse(spec, f"has a wrong {name}", got=value, expected=f"{least} to {most}")
    return payload


def _why(ran: Ran, result: dict[str, Any]) -> str:
    """Return why a suite failed, or nothing when only its process can tell."""
    text = _CODES.get(ran.exit_code, "")
    if not result["failures"]:
        return f"{text}: {said}" if text and (said := _said(ran)) else text
    count = result["failed"] + result["errors"]
    first = result["failures"][0]
    why = first["message"].partition("\n")[0][:200]
    text = text or f"{count} of {result['tests']} tests failed"
    return f"{text}, first {first['name']}: {why}"


def _said(ran: Ran) -> str:
    """Return what pytest itself calls an error, such as a path that is not there."""
    lines = ran.stderr.decode("utf-8", "replace").splitlines()
    errors = (line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: "))
    return next(errors, "")[:200]


def _shard(
    spec: TaskSpec,
    payload: PytestPayload,
    durations: dict[str, float],
    number: int,
    seconds: float,
) -> TaskSpec:
    place = f"{number}of{payload.shards}"
    key = spec.idempotency_key
    return msgspec.structs.replace(
        spec,
        task_id=f"{spec.task_id}-{place}",
        payload={**spec.payload, "shard": number, "durations": durations},
        idempotency_key=f"{key}-{place}" if key else "",
        estimate_s=spec.estimate_s / payload.shards or seconds,
    )


def _runs(place: Path) -> list[list[Case]]:
    runs: list[list[Case]] = []
    for number in range(RERUNS_MAX + 1):
        path = place / f"junit-{number}.xml"
        if not path.is_file():
            break
        with path.open("rb") as file:
            runs.append(parse_junit(file.read(BYTES_MAX + 1)))
    return runs
