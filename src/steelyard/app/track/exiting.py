"""What ended the process: an exception, or `sys.exit` with a code.

When the interpreter ends, an exception that nobody caught is known to it; a `SystemExit` is not any
more. So while a run goes on, `sys.exit` raises one that tells where it ends: if that is in no frame
of Python, nobody caught it, and it is what ended the script.
"""

import inspect
import sys
from threading import current_thread, main_thread
from typing import Any, NoReturn


class _Exit(SystemExit):
    """A `SystemExit` that leaves its code behind when nobody caught it."""

    def __del__(self) -> None:
        frame = inspect.currentframe()
        if frame is not None and frame.f_back is None:
            _Exits.code = self.code


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"
_Exit.__module__ = "builtins"


class _Exits:
    """Of this process: the code that it ends with, and who is asked to end it."""

    code: Any = None
    before: Any = sys.exit


def watch_exit() -> None:
    """Have `sys.exit` leave its code behind; a second call does nothing."""
    if sys.exit is not _watched:
        _Exits.before = sys.exit  # somebody may have patched it before
        sys.exit = _watched


def leave_exit() -> None:
    """Put back what `sys.exit` was; somebody else's patch over ours stays."""
    if sys.exit is _watched:
        sys.exit = _Exits.before


def _watched(status: Any = None, /) -> NoReturn:
    try:
        _Exits.before(status)
    except SystemExit as error:
        # A thread ends in silence only by one of exactly this type, and ends nothing else.
        if type(error) is not SystemExit or current_thread() is not main_thread():
            raise
        code = error.code
    raise _Exit(code)


def ending() -> BaseException | None:
    """Return what is ending the interpreter now; None when the script came to its end.

    To be asked at exit. What `raise SystemExit(3)` raises, without `sys.exit`, is not seen.
    """
    if hasattr(sys, "ps1"):  # what a prompt showed long ago ended nothing
        return None
    error: BaseException | None = getattr(sys, "last_value", None)
    return error if error is not None or not _Exits.code else SystemExit(_Exits.code)
