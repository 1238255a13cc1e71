"""What an attempt runs, how its process ended, and what that comes to."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from steelyard.domain.fleet.model import Ending, Outcome, TaskSpec
from steelyard.kernel.errors import UsageError, did_you_mean

TAIL_MAX = 65_536
"""Bytes of an output that are kept with an outcome, the last ones."""

RESULT_MAX = 8 << 20
"""Bytes of a result, as JSON; a larger one belongs into a file."""

LINE_MAX = 500
"""Characters of a program's last line that an error repeats."""

_MEANING = {
    "SIGKILL": " (not by the fleet; is the memory used up?)",
    "SIGXCPU": " (its CPU time is used up)",
    "SIGXFSZ": " (a file grew too large)",
}
_T = TypeVar("_T")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The program of an attempt.

    Attributes:
        argv: the program and its arguments; a name without a slash is looked for in PATH.
        env: variables beside those that the worker lets through.
        cwd: where it runs; a relative path is one below the attempt's own working directory.
        files: contents by relative path, written into the working directory first.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    cwd: str = ""
    files: dict[str, bytes] = {}


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How the program of an attempt ended by itself.

    Attributes:
        directory: its working directory, in which its files still are.
        exit_code: of the program; negative is the number of the signal that ended it.
        signal: that signal's name, such as `SIGSEGV`.
        seconds: how long it ran.
        stdout, stderr: the last `TAIL_MAX` bytes of each.
    """

    directory: str
    exit_code: int
    signal: str = ""
    seconds: float = 0.0
    stdout: bytes = b""
    stderr: bytes = b""


def how_it_ended(ran: Ran) -> str:
    """Return the end of a program as a sentence, with the last line that it wrote to stderr."""
    end = f"exit code {ran.exit_code}"
    if ran.signal:
        end = f"killed by {ran.signal}{_MEANING.get(ran.signal, '')}"
    lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"{end}: {lines[-1].strip()[:LINE_MAX]}" if lines else end


def plain_outcome(ran: Ran, result: Any = None) -> Outcome:
    """Return what an exit code says: success is 0 and nothing else."""
    succeeded = ran.exit_code == 0
    return Outcome(
        ending=Ending.SUCCEEDED if succeeded else Ending.FAILED,
        result=result,
        error="" if succeeded else how_it_ended(ran),
        exit_code=ran.exit_code,
        seconds=ran.seconds,
    )


def payload_of(spec: TaskSpec, type_: type[_T]) -> _T:
    """Return a task's payload as the structure that its kind expects.

    Raises:
        UsageError: it is not; the message names the field.
    """
    _check_names(spec, type_)
    try:
        return msgspec.convert(spec.payload, type_)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"The payload of {spec.kind} task {spec.task_id} can't be used: {error}",
            expected="fields " + ", ".join(_names(type_)),
        ) from None


def _check_names(spec: TaskSpec, type_: type) -> None:
    known = _names(type_)
    for name in spec.payload:
        if name not in known:
            raise UsageError(
                f"The payload of {spec.kind} task {spec.task_id} has an unknown field",
                got=name,
                expected="one of " + ", ".join(known),
                next_step=did_you_mean(name, known) or None,
            )


def _names(type_: type) -> tuple[str, ...]:
    return tuple(field.encode_name for field in msgspec.structs.fields(type_))


def refuse(spec: TaskSpec, what: str, *, got: object = None, expected: str = "") -> UsageError:
    """Return the error of a payload whose fields do not fit together."""
    text = f"The payload of {spec.kind} task {spec.task_id} {what}"
    return UsageError(text, got=got, expected=expected or None)


def relative_name(spec: TaskSpec, name: str) -> str:
    """Return the name of a file below the working directory.

    Raises:
        UsageError: it leads out of there.
    """
    parts = name.split("/")
    if not name or name.startswith("/") or "\0" in name or {"", ".", ".."} & set(parts):
        raise refuse(spec, "names a file elsewhere", got=name, expected="a relative path, as a/b")
    return name


def text_variables(spec: TaskSpec, env: Mapping[str, str]) -> dict[str, str]:
    """Return variables that a program can be given.

    Raises:
        UsageError: a name or value can't be one.
    """
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise refuse(spec, "has a variable that can't be set", got=name)
    return dict(env)
