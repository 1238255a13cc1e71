"""How the command line says that something went wrong."""

import os
import sys
import traceback

from steelyard.kernel.errors import SteelyardError

_RED = "\x1b[31m"
_RESET = "\x1b[0m"


def colours_wanted() -> bool:
    """Tell whether stderr is a terminal whose owner did not ask for NO_COLOR."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def report_error(error: SteelyardError) -> int:
    """Print what was wrong and what to do next; return the exit code."""
    label = "error:"
    if colours_wanted():
        label = f"{_RED}{label}{_RESET}"
    print(f"{label} {error}", file=sys.stderr)
    return error.exit_code


def report_bug(error: BaseException) -> str:
    """Write the traceback to a file of its own and print where it is; return the path."""
    import tempfile  # a bug is rare, and this takes 10 ms of every start

    handle, path = tempfile.mkstemp(prefix="steelyard-bug-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    summary = traceback.format_exception_only(error)[-1].strip()
    print(
        f"internal error: {summary}\nThis is a bug of Steelyard, not of your configuration. "
        f"The traceback is in {path}; `--debug` shows it here.",
        file=sys.stderr,
    )
    return path
