"""A run of each call of a function."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def each_call(function: _F, block: Callable[[], Any]) -> _F:
    """Return `function` with each call in a new block, an `async` one in an `async` block."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def tracked_async(*args: Any, **kwargs: Any) -> Any:
            async with block():
                return await function(*args, **kwargs)

        return tracked_async  # type: ignore[return-value]  # wraps() keeps the signature

    @functools.wraps(function)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    return tracked  # type: ignore[return-value]  # wraps() keeps the signature
