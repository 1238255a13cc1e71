"""What becomes of an exception that nobody caught in a callback of an event loop.

A loop only logs it and goes on: a role whose timer or reader failed would idle on, and its run
would hang or report what is wrong. So it ends who answers for the callback, as an exception of a
task does. The rule, and there is no other place for it:

- What counts is an `Exception` that a callback raised (of `call_soon`, `call_at`, `add_reader`, a
  future and the like: the loop names its `handle`) or a method of a protocol (the loop names the
  `protocol`), there but for an `OSError`, which is a peer's doing, such as a reset.
- All else that loops report is logged as ever: an exception of a task that nobody asked for, of a
  stream's coroutine or a generator that was closed, a connection that could not be accepted, a
  cancellation.
- Who answers is found in the context (`contextvars`) in which the callback was set: what was set
  within `answering`, or by a task begun there, is that one's. So of roles that share a loop one
  fails alone, and a callback of a plugin's hook is the hook's. Where a context says nothing, as for
  what threads and transports call, or is not to be had (asyncio's own loop, before Python 3.12), it
  is who watches the loop: the role whose process it is, else the run's controller.
- The first one ends it. More may come while it ends, from a reader at every turn of the loop:
  `SAID_MAX` of them are logged.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Tell = Callable[[Exception], bool]
"""Takes a callback's exception; False when that changes nothing, and it is only to be logged."""

SAID_MAX = 10

_answerable: ContextVar[Tell | None] = ContextVar("steelyard_answerable", default=None)
_log = logging.getLogger(__name__)


def callback_error(context: Mapping[str, Any]) -> Exception | None:
    """Return the exception of a callback that a loop reports with `context`, None if it is none."""
    error = context.get("exception")
    if not isinstance(error, Exception) or "task" in context or "future" in context:
        return None
    if "handle" in context:
        return error
    return error if "protocol" in context and not isinstance(error, OSError) else None


@contextmanager
def answering(tell: Tell) -> Iterator[None]:
    """Have callbacks that are set in this block, and by tasks begun in it, be told to `tell`."""
    token = _answerable.set(tell)
    try:
        yield
    finally:
        _answerable.reset(token)


def watch_callbacks(tell: Tell) -> None:
    """Watch the running loop; `tell` answers for callbacks of nobody. The first to watch stays."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop.get_exception_handler(), _Watch):
        loop.set_exception_handler(_Watch(tell))


class _Watch:
    """The exception handler of a loop that is watched."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._said = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = callback_error(context)
        if error is None:
            loop.default_exception_handler(context)
            return
        tell = _answerable.get() or self._tell
        if tell(error):
            return
        self._said += 1
        if self._said <= SAID_MAX:
            loop.default_exception_handler(context)
        if self._said == SAID_MAX:
            _log.warning("%d callbacks have raised; what more raise is not logged", SAID_MAX)
