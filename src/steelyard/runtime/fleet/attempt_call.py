"""Calls a function of a module with JSON arguments, and writes what it returns as JSON.

Run as a file by the Python of a task, which needs nothing of Steelyard: standard library only.
`call.json` in the working directory says what to call; `result.json` or `error.json` says what
came of it.
"""

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

EXIT_RAISED = 1
EXIT_NOT_JSON = 3


def call(said: dict[str, Any]) -> Any:
    """Return what the function returns; one that is a coroutine is run."""
    sys.path[:0] = said["path"]
    module, _, name = said["function"].partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    value = function(*said["args"], **said["kwargs"])
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value


def main() -> int:
    """Return the exit code."""
    sys.excepthook = _print_without_ours
    said = json.loads(Path("call.json").read_text(encoding="utf-8"))
    try:
        value = call(said)
    except BaseException as error:
        _write("error.json", {"type": type(error).__name__, "message": str(error)})
        raise
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        traceback.print_exc()
        message = f"{said['function']} returned what JSON can't hold: {error}"
        _write("error.json", {"type": type(error).__name__, "message": message})
        return EXIT_NOT_JSON
    Path("result.json").write_text(text, encoding="utf-8")
    return 0


def _print_without_ours(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback that begins where the task's own code does."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)


def _write(name: str, value: Any) -> None:
    Path(name).write_text(json.dumps(value), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
