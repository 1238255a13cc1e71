"""A function by its import path, with JSON arguments and a JSON result; nothing is pickled."""

import re
import sys
from collections.abc import Sequence
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
from steelyard.runtime.fleet import attempt_call

_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class CallablePayload(msgspec.Struct, frozen=True, kw_only=True):
    """What a callable task is given.

    Attributes:
        function: its import path, `package.module:function`; a coroutine function is run.
        args, kwargs: plain values.
        path: directories in which modules are looked for first.
        env: variables.
        python: the interpreter; Steelyard's own without it.
    """

    function: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    path: tuple[str, ...] = ()
    env: dict[str, str] = {}
    python: str = ""


class CallableKind:
    """Succeeds when the function returns; its result is what that returned."""

    def prepare(self, spec: TaskSpec, earlier: Sequence[Any]) -> tuple[TaskSpec, ...]:
        """Check the payload; the function itself is looked for where it runs."""
        self.work(spec, "")
        return (spec,)

    def work(self, spec: TaskSpec, directory: str) -> Work:
        """Return an interpreter that calls it."""
        payload = payload_of(spec, CallablePayload)
        if not _PATH.fullmatch(payload.function):
            raise refuse(
                spec, "names no function", got=payload.function, expected="package.module:function"
            )
        said = {
            "function": payload.function, "args": payload.args, "kwargs": payload.kwargs,
            "path": payload.path,
        }  # fmt: skip
        return Work(
            # -P: the directory of our own file is no place for a stranger's imports.
            argv=(payload.python or sys.executable, "-P", attempt_call.__file__),
            env=text_variables(spec, payload.env),
            files={"call.json": msgspec.json.encode(said)},
        )

    def outcome(self, spec: TaskSpec, ran: Ran) -> Outcome:
        """Return what the function returned, or what it raised."""
        place = Path(ran.directory)
        if ran.exit_code == 0:
            return plain_outcome(ran, _json(place / "result.json"))
        outcome = plain_outcome(ran)
        error = _json(place / "error.json")
        if error is None:
            return outcome
        text = f"{error['type']}: {error['message']}"
        return msgspec.structs.replace(outcome, error=text, ending=Ending.FAILED)


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(RESULT_MAX + 1)
    except FileNotFoundError:
        return None
    if len(data) > RESULT_MAX:
        raise ValueError(f"{path.name} has more than {RESULT_MAX} bytes")
    return msgspec.json.decode(data)
