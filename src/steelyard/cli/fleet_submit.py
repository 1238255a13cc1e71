"""`steelyard fleet submit`: one task by its words, or many by a file."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from steelyard.app.fleet.client import Client
from steelyard.cli.fleet_pages import clean, coloured
from steelyard.cli.fleet_reach import (
    ANYWHERE,
    JsonFlag,
    Reach,
    flag,
    json_value,
    pairs,
    print_json,
    say,
)
from steelyard.kernel.errors import EXIT_OK, EXIT_USAGE, EXIT_VERDICT, FileError, UsageError
from steelyard.runtime.fleet.service_http import ServiceRefusedError

Kind = Literal["command", "pytest", "callable", "benchmark"]
Several = tuple[str, ...]

_HELP = """Submit tasks and print their ids; with --wait, end with 1 when one does not complete.

For example:

  steelyard fleet submit -- python train.py --epochs 3

  steelyard fleet submit --cores 2 --memory-gb 4 --retries 2 -- make test

  steelyard fleet submit --kind pytest --shards 4 -- tests/unit -k "not slow"

  steelyard fleet submit --kind callable -- mymodule:train 0.1 epochs=3

  steelyard fleet submit --kind benchmark -- -m MODEL -u http://127.0.0.1:8000 --streaming

  steelyard fleet submit --file tasks.yaml --wait

A file is YAML or JSON: a list of tasks, or `tasks:` and `defaults:`. Each has `kind` and \
`payload`, and may have `name`, `project`, `priority`, `depends_on`, `requirements` and so on.
"""

app = App(name="submit", help=_HELP, help_format="plaintext")


@Parameter(name="*")
@dataclass(frozen=True)
class Needs:
    """What a worker must have."""

    cores: Annotated[float, flag("--cores", "CPU cores, taken while it runs.")] = 0.0
    memory_gb: Annotated[float, flag("--memory-gb", "Memory, taken while it runs.")] = 0.0
    gpus: Annotated[int, flag("--gpus", "GPUs, taken while it runs.")] = 0
    gpu_memory_gb: Annotated[float, flag("--gpu-memory-gb", "Memory of each of them.")] = 0.0
    gpu_model: Annotated[str, flag("--gpu-model", "Their model: a pattern such as '*H200*'.")] = ""
    accelerator: Annotated[Several, flag("--accelerator", "Such as cuda. May be repeated.")] = ()
    runtime: Annotated[Several, flag("--runtime", "Such as docker. May be repeated.")] = ()
    label: Annotated[Several, flag("--needs-label", "KEY=VALUE. May be repeated.")] = ()
    worker: Annotated[str, flag("--on", "Only this worker.")] = ""

    def requirements(self) -> dict[str, Any]:
        """Return what is asked for, without what is not."""
        given = {
            "cpu_cores": self.cores, "memory_gb": self.memory_gb, "gpus": self.gpus,
            "gpu_memory_gb": self.gpu_memory_gb, "gpu_model": self.gpu_model,
            "accelerators": list(self.accelerator), "runtimes": list(self.runtime),
            "labels": pairs(self.label, "--needs-label"), "worker": self.worker,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


@Parameter(name="*")
@dataclass(frozen=True)
class About:
    """What is said of a task, beside what it does."""

    name: Annotated[str, flag("--name", "What people call it.")] = ""
    project: Annotated[str, flag("--project", "What it belongs to.")] = ""
    priority: Annotated[int, flag("--priority", "Higher first; 0 without it.")] = 0
    depends_on: Annotated[
        Several, flag("--depends-on", "Id of a task that must complete first. May be repeated.")
    ] = ()
    retries: Annotated[int, flag("--retries", "Further tries after it failed by itself.")] = 0
    timeout_s: Annotated[float, flag("--timeout", "Seconds that one attempt may run.")] = 3600.0
    deadline_s: Annotated[
        float, flag("--deadline", "Seconds from now on by which it should have ended.")
    ] = 0.0
    idempotency_key: Annotated[
        str, flag("--idempotency-key", "A second task of yours with it is the first one.")
    ] = ""

    def fields(self) -> dict[str, Any]:
        """Return what was said, as the service takes it."""
        return {**vars(self), "depends_on": list(self.depends_on)}


@Parameter(name="*")
@dataclass(frozen=True)
class Ways:
    """How its program runs."""

    cwd: Annotated[
        str, flag("--cwd", "Directory it runs in; one of its own without it (pytest: this one).")
    ] = ""
    env: Annotated[Several, flag("--env", "KEY=VALUE. May be repeated.")] = ()
    shards: Annotated[int, flag("--shards", "pytest: divide the suite into so many tasks.")] = 1
    reruns: Annotated[int, flag("--reruns", "pytest: run again what failed; flaky if it passes "
                                 "then.")] = 0  # fmt: skip
    plan: Annotated[
        str, flag("--plan", "benchmark: file of a plan, as of `steelyard profile --config`.")
    ] = ""


@app.default
def submit(  # noqa: PLR0913  each is a flag or a group of them
    *words: Annotated[str, Parameter(name="COMMAND")],
    kind: Kind = "command",
    file: Annotated[
        Path | None,
        Parameter(name=("--file", "-f"), show_default=False, allow_leading_hyphen=True),
    ] = None,
    count: Annotated[int, Parameter(show_default=False)] = 1,
    wait: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    about: About | None = None,
    needs: Needs | None = None,
    ways: Ways | None = None,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> int:
    """Submit tasks and print their ids; with --wait, end with 1 when one does not complete.

    Args:
        words: What it runs, after `--`: a program with its arguments; paths and flags of pytest; a
            function's path with JSON values; flags of `steelyard profile`.
        kind: What the words are.
        file: Submit the tasks of this file; `-` for the standard input.
        count: Submit it so many times.
        wait: Wait until all have ended.
        about: What is said of it.
        needs: What a worker must have.
        ways: How it runs.
        as_json: Print JSON.
        reach: Where the service is.
    """
    if bool(words) == (file is not None) and not (kind == "benchmark" and ways and ways.plan):
        raise UsageError(
            "Say what to run" if file is None else "A file says what to run, and so do the words",
            expected="a command after `--`, or --file FILE",
            next_step="See: steelyard fleet submit --help",
        )  # fmt: skip
    if count < 1:
        raise UsageError("--count takes a number of tasks", got=count, expected="at least 1")
    if file is not None:
        tasks = read_tasks(file)
    else:
        task = {
            "kind": kind, "payload": payload_of(kind, words, ways or Ways()),
            **(about or About()).fields(), "requirements": (needs or Needs()).requirements(),
        }  # fmt: skip
        tasks = [task] * count
    with reach.client() as client:
        answers = _submitted(client, tasks, file)
        for answer, name in zip(answers, _names(tasks, len(answers)), strict=True):
            if answer["refusal"]:
                called = answer["asked"] or name or answer["task_id"]
                say(f"refused: {called}: {clean(answer['refusal'], 500)}")
        return _report(client, answers, wait=wait, as_json=as_json)


def _submitted(
    client: Client, tasks: list[dict[str, Any]], file: Path | None
) -> Sequence[Mapping[str, Any]]:
    """Submit; what is wrong with a file's tasks is said with the file's name."""
    try:
        return client.submit(tasks)
    except ServiceRefusedError as error:
        if file is not None and error.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            error.what = f"{file}: {error.what}"
        raise


def _names(tasks: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Return what their author calls each of `count` answers; nothing where tasks were split."""
    is_each = len(tasks) == count
    return [task.get("name", "") for task in tasks] if is_each else [""] * count


def _report(
    client: Client, answers: Sequence[Mapping[str, Any]], *, wait: bool, as_json: bool
) -> int:
    taken = [answer["task_id"] for answer in answers if not answer["refusal"]]
    code = EXIT_OK if len(taken) == len(answers) else EXIT_USAGE
    if as_json and not wait:
        print_json(list(answers))
    elif taken and not as_json:
        print("\n".join(taken), flush=True)
    if not wait:
        return code
    if taken:
        say("Waiting for the end. Ctrl-C ends the waiting, not the work.")
    ended = [client.wait(task_id) for task_id in dict.fromkeys(taken)]
    tasks = [task for task in ended if isinstance(task, dict)]
    if as_json:
        print_json(tasks)
    else:
        for task in tasks:
            error = (task["outcome"] or {}).get("error") or task["reason"]
            name = clean(task["spec"]["name"])
            words = (task["spec"]["task_id"], name, coloured(task["state"]), clean(error, 200))
            say(" ".join(filter(None, words)))
    return code if all(task["state"] == "completed" for task in tasks) else EXIT_VERDICT


def read_tasks(path: Path) -> list[dict[str, Any]]:
    """Return the tasks of a YAML or JSON file, each with the file's defaults.

    Raises:
        FileError: it can't be read.
        UsageError: it is no list of tasks.
    """
    import yaml

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"Can't read {path}: {reason}") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is no YAML: {_yaml_problem(error)}") from None
    defaults: Any = {}
    if isinstance(document, dict):
        unknown = sorted(set(document) - {"tasks", "defaults"}, key=str)
        if unknown:
            raise UsageError(f"{path} has an unknown word", got=unknown[0],
                             expected="tasks, defaults")  # fmt: skip
        defaults = document.get("defaults") or {}
        document = document.get("tasks")
    tasks = document if isinstance(document, list) else []
    if not tasks or not isinstance(defaults, dict) or not all(isinstance(t, dict) for t in tasks):
        raise UsageError(
            f"{path} has no tasks", expected="a list of tasks, or `tasks:` with such a list",
            next_step="See: steelyard fleet submit --help",
        )  # fmt: skip
    return [_merged(defaults, task) for task in tasks]


def _yaml_problem(error: Exception) -> str:
    """Return what is wrong and where, on one line."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None or not problem:
        return " ".join(str(error).split())
    return f"{problem}, in line {mark.line + 1}, column {mark.column + 1}"


def _merged(defaults: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **task}
    for part in ("requirements", "labels"):
        if isinstance(defaults.get(part), dict) and isinstance(task.get(part), dict):
            merged[part] = {**defaults[part], **task[part]}
    return merged


def payload_of(kind: str, words: Sequence[str], ways: Ways) -> dict[str, Any]:
    """Return what a kind of task is given for these words.

    Raises:
        UsageError: a plan or an argument can't be read.
    """
    _check_ways(kind, ways)
    env = pairs(ways.env, "--env")
    cwd = str(Path(ways.cwd).absolute()) if ways.cwd else ""
    if kind == "command":
        return _given(argv=list(words), env=env, cwd=cwd)
    if kind == "pytest":
        flags = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
        return _given(
            paths=list(words[:flags]) or ["."], args=list(words[flags:]), env=env,
            rootdir=cwd or str(Path.cwd()), shards=ways.shards, reruns=ways.reruns,
        )  # fmt: skip
    if kind == "callable":
        args, kwargs = _arguments(words[1:])
        return _given(
            function=words[0], args=args, kwargs=kwargs, env=env, path=[cwd or str(Path.cwd())]
        )
    return _given(flags=list(words), env=env, plan=_plan(ways.plan) if ways.plan else {})


def _check_ways(kind: str, ways: Ways) -> None:
    for flag_name, of_kind, is_given in (
        ("--shards", "pytest", ways.shards != 1),
        ("--reruns", "pytest", ways.reruns != 0),
        ("--plan", "benchmark", bool(ways.plan)),
    ):
        if is_given and kind != of_kind:
            raise UsageError(
                f"{flag_name} is of another kind", got=kind, expected=f"--kind {of_kind}"
            )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _arguments(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return `0.1 epochs=3` as arguments by place and by name; what is no JSON is a text."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = json_value(value)
        else:
            args.append(json_value(word))
    return args, kwargs


def _plan(name: str) -> dict[str, Any]:
    import yaml

    try:
        plan = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or _yaml_problem(error)
        raise UsageError(f"The plan {name} can't be read: {reason}") from None
    if not isinstance(plan, dict):
        raise UsageError(f"{name} is no plan", next_step="See: steelyard config init")
    return plan
