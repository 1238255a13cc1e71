"""A benchmark: a plan for `steelyard profile`, carried out by a process of its own."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.fleet.attempts import (
    RESULT_MAX,
    Ran,
    Work,
    payload_of,
    plain_outcome,
    refuse,
    text_variables,
)
from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.kernel.errors import EXIT_UNREACHABLE, EXIT_VERDICT

ARTIFACTS = "artifacts"
SUMMARY = "profile_export.json"
_URL_FLAGS = ("--url", "-u")
_PLAN = "plan.yaml"


class BenchmarkPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark task is given; at least one of the first three.

    Attributes:
        plan: a plan, as in the file of `steelyard profile --config`.
        file: the absolute path of such a file, on the worker.
        flags: words of the command line; they win over the plan.
        env: variables; of an API key, name the variable in the plan, and let the engine pass it on.
    """

    plan: dict[str, Any] = {}
    file: str = ""
    flags: tuple[str, ...] = ()
    env: dict[str, str] = {}


class BenchmarkKind:
    """Succeeds with the run's exit code 0; its result has the verdict and the summary."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> tuple[TaskSpec, ...]:
        """Return the task with the endpoint that it works against."""
        payload = _payload(spec)
        return (msgspec.structs.replace(spec, endpoint=spec.endpoint or _endpoint(payload)),)

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return the command."""
        payload = _payload(spec)
        config: tuple[str, ...] = ("--config", payload.file) if payload.file else ()
        files: dict[str, bytes] = {}
        if payload.plan:
            config, files = ("--config", _PLAN), {_PLAN: msgspec.json.encode(payload.plan)}
        return Work(
            argv=(
                sys.executable, "-P", "-m", "steelyard", "profile", *config, *payload.flags,
                # Of a flag given twice the last counts.
                "--artifact-dir", ARTIFACTS, "--ui", "none",
            ),
            env=text_variables(spec, payload.env),
            files=files,
        )  # fmt: skip

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return the verdict and the summary; an endpoint without an answer is told apart."""
        place = Path(ran.directory) / ARTIFACTS
        result = _summary(place)
        outcome = plain_outcome(ran, result)
        if ran.exit_code == EXIT_UNREACHABLE:
            return msgspec.structs.replace(outcome, ending=Ending.UNREACHABLE)
        if ran.exit_code == EXIT_VERDICT and result is not None:
            causes = [str(cause.get("message", "")) for cause in result["causes"]]
            text = f"verdict {result['verdict']}: {' '.join(causes)}".rstrip(": ")
            return msgspec.structs.replace(outcome, error=text[:1_000])
        if ran.exit_code == 0 and result is None:
            return msgspec.structs.replace(
                outcome, ending=Ending.FAILED, error=f"the run left no {SUMMARY}"
            )
        return outcome


def _payload(spec: TaskSpec) -> BenchmarkPayload:
    payload = payload_of(spec, BenchmarkPayload)
    if payload.plan and payload.file:
        raise refuse(spec, "has two plans", expected="either plan or file")
    if not (payload.plan or payload.file or payload.flags):
        raise refuse(spec, "has no plan", expected="plan, file or flags")
    if payload.file and not payload.file.startswith("/"):
        raise refuse(spec, "names a plan that depends on where it runs", got=payload.file,
                     expected="an absolute path")  # fmt: skip
    return payload


def _endpoint(payload: BenchmarkPayload) -> str:
    """Return the first URL of a benchmark, or nothing."""
    for place, word in enumerate(payload.flags):
        name, equals, value = word.partition("=")
        if name in _URL_FLAGS:
            following = payload.flags[place + 1 : place + 2]
            return value if equals else next(iter(following), "")
    endpoint = payload.plan.get("endpoint")
    urls = endpoint.get("urls") if isinstance(endpoint, Mapping) else None
    first = urls[0] if isinstance(urls, list) and urls else urls
    return first if isinstance(first, str) else ""


def _summary(place: Path) -> dict[str, Any] | None:
    """Return what matters of a run's summary; metrics that nothing was measured for are left out.

    Raises:
        ValueError: the file is too large, or no JSON.
    """
    try:
        with (place / SUMMARY).open("rb") as file:
            data = file.read(RESULT_MAX + 1)
    except FileNotFoundError:
        return None
    if len(data) > RESULT_MAX:
        raise ValueError(f"{SUMMARY} has more than {RESULT_MAX} bytes")
    summary = msgspec.json.decode(data, type=dict[str, Any])
    return {
        "verdict": summary["verdict"]["status"],
        "causes": summary["verdict"]["causes"],
        "run_id": summary["run"]["run_id"],
        "metrics": {
            tag: metric
            for tag, metric in summary["metrics"].items()
            if metric.get("count") or metric.get("avg") is not None
        },
        "phases": summary["phases"],
        "errors": summary["errors"],
        "artifacts": str(place),
    }
