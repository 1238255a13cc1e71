"""Public names of a module that are imported from elsewhere when they are first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    module: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a module, as PEP 562 has them.

    Args:
        module: its name; its `__all__` is what `dir` shows.
        homes: name -> the module that defines it, with `:name` behind it where its name there is
            another.

    A name is kept in the module once it was asked for. One without a home is an AttributeError.
    """

    def first_use(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            message = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(message)
        source, _, other = home.partition(":")
        value = getattr(import_module(source), other or name)
        setattr(sys.modules[module], name, value)
        return value

    def public() -> list[str]:
        return list(sys.modules[module].__all__)

    return first_use, public
