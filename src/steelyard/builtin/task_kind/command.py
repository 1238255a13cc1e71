"""A program with its arguments, or a line for the shell."""

from collections.abc import Sequence
from typing import Any

import msgspec

from steelyard.domain.fleet.attempts import (
    Ran,
    Work,
    payload_of,
    plain_outcome,
    refuse,
    relative_name,
    text_variables,
)
from steelyard.domain.fleet.model import Outcome, TaskSpec

SHELL = "/bin/sh"


class CommandPayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a command task is given.

    Attributes:
        argv: the program and its arguments; no shell reads them.
        shell: a text for `/bin/sh`, instead of `argv`.
        env: variables.
        cwd: where it runs; a relative path is below the attempt's working directory.
        files: texts by relative path, written into the working directory first.
    """

    argv: tuple[str, ...] = ()
    shell: str = ""
    env: dict[str, str] = {}
    cwd: str = ""
    files: dict[str, str] = {}


class CommandKind:
    """Succeeds when the program ends with 0; its result holds what it wrote last."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> tuple[TaskSpec, ...]:
        """Check the payload."""
        self.work(spec, "")
        return (spec,)

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return the program."""
        payload = payload_of(spec, CommandPayload)
        if bool(payload.argv) == bool(payload.shell):
            raise refuse(spec, "says not what to run", expected="either argv or shell")
        argv = payload.argv or (SHELL, "-c", payload.shell)
        if not argv[0] or any("\0" in word for word in argv):
            raise refuse(spec, "has an argv that can't be run", got=list(argv))
        return Work(
            argv=argv,
            env=text_variables(spec, payload.env),
            cwd=payload.cwd,
            files={
                relative_name(spec, name): text.encode() for name, text in payload.files.items()
            },
        )

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return what the exit code says, and the last part of both outputs."""
        result = {
            "exit_code": ran.exit_code,
            "stdout": ran.stdout.decode("utf-8", "replace"),
            "stderr": ran.stderr.decode("utf-8", "replace"),
        }
        return plain_outcome(ran, result)
