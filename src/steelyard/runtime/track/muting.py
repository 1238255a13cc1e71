"""What this thread is doing of which frameworks' hooks must not hear."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

ALL = "*"
EVERYTHING = frozenset({ALL})


class Muted(threading.local):
    """The names of frameworks that hear nothing of what this thread does; `*` is all of them."""

    names: frozenset[str] = frozenset()

    def __reduce__(self) -> str:
        """Be what is under this name in another process: hooks are sent along with classes."""
        return "MUTED"


MUTED = Muted()


@contextmanager
def muted(names: frozenset[str] = EVERYTHING) -> Iterator[None]:
    """Have frameworks hear nothing of what this thread does in the `with` block."""
    outer = MUTED.names
    MUTED.names = outer | names
    try:
        yield
    finally:
        MUTED.names = outer
