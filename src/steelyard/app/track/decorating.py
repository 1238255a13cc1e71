"""A run of each call of a function."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Self, TypeVar

from steelyard.app.track.active import current, within
from steelyard.kernel.errors import UsageError

_F = TypeVar("_F", bound=Callable[..., Any])


def each_call(function: _F, block: Callable[[], Any]) -> _F:
    """Return `function` with each call in a new block, an `async` one in an `async` block.

    A call of a generator function begins when it is first asked for a value, and ends with the
    generator: by its return, by what it raises, or, finished too, when nobody wants more of it.
    Between two values the caller's experiment is the active one, and not the generator's.

    Raises:
        UsageError: `function` is a class, which would be one no more, or can't be called.
    """
    if isinstance(function, type) or not callable(function):
        raise UsageError(
            "An experiment decorates functions and methods",
            got=function,
            next_step="Decorate a method of the class, or use `with Experiment(...):`.",
        )
    wrapped: Any
    if inspect.isasyncgenfunction(function):
        wrapped = _async_generator(function, block)
    elif inspect.isgeneratorfunction(function):
        wrapped = _generator(function, block)
    elif inspect.iscoroutinefunction(function):
        wrapped = _coroutine(function, block)
    else:
        wrapped = _plain(function, block)
    tracked: Any = functools.wraps(function)(wrapped)
    return tracked  # type: ignore[no-any-return]  # wraps() keeps the signature


def _plain(function: Callable[..., Any], block: Callable[[], Any]) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        with block():
            return function(*args, **kwargs)

    return tracked


def _coroutine(function: Callable[..., Any], block: Callable[[], Any]) -> Callable[..., Any]:
    async def tracked(*args: Any, **kwargs: Any) -> Any:
        async with block():
            return await function(*args, **kwargs)

    return tracked


def _generator(function: Callable[..., Any], block: Callable[[], Any]) -> Callable[..., Any]:
    def tracked(*args: Any, **kwargs: Any) -> Any:
        run = block()
        with within(current()):
            run.__enter__()
        try:
            result = yield from _Steps(function(*args, **kwargs), run)
        except BaseException as error:
            run.__exit__(type(error), error, error.__traceback__)
            raise
        run.__exit__(None, None, None)
        return result

    return tracked


class _Steps(Generator[Any, Any, Any]):
    """A generator, with its run as the active one while its own code runs."""

    def __init__(self, generator: Generator[Any, Any, Any], run: Any) -> None:
        self._generator = generator
        self._run = run

    def send(self, value: Any) -> Any:
        with within(self._run):
            return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        with within(self._run):
            return self._generator.throw(*error)


class _Thrown:
    """Keeps what a caller throws into a generator, which is for that to see."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return error is not None

    def into(self, generator: AsyncGenerator[Any, Any]) -> Any:
        """Return what throws it there."""
        return generator.athrow(self.error)  # type: ignore[arg-type]  # there is one


def _async_generator(function: Callable[..., Any], block: Callable[[], Any]) -> Callable[..., Any]:
    async def tracked(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = block()
        with within(current()):
            await run.__aenter__()
        generator = function(*args, **kwargs)
        try:
            step = generator.asend(None)
            while True:
                with within(run):
                    value = await step
                with _Thrown() as thrown:
                    sent = yield value
                step = generator.asend(sent) if thrown.error is None else thrown.into(generator)
        except StopAsyncIteration:
            await run.__aexit__(None, None, None)
        except BaseException as error:
            await run.__aexit__(type(error), error, error.__traceback__)
            raise

    return tracked
