"""Calls the handlers of an event: in order, each bounded in time, none harming another."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from steelyard.kernel.errors import SteelyardError
from steelyard.plugins.hooks import Handler, HookTable
from steelyard.runtime.callback_errors import answering
from steelyard.runtime.plugin_border import PluginBorder

CALL_TIMEOUT_S = 5.0


class HookResult(msgspec.Struct, frozen=True):
    """What one handler returned, or why it did not."""

    plugin: str
    value: Any = None
    error: str = ""
    quarantined: bool = False


class HookRunner:
    """Fires events at the handlers of a table.

    Args:
        table: who listens.
        border: where failures are counted.
        timeout_s: how long one call may take.
        on_quarantine: told the plugin and its last error when it is quarantined.
    """

    def __init__(
        self,
        table: HookTable,
        border: PluginBorder,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        on_quarantine: Callable[[str, str], None] | None = None,
    ) -> None:
        self.table = table
        self.border = border
        self.timeout_s = timeout_s
        self._on_quarantine = on_quarantine
        self._abandoned: set[asyncio.Future[Any]] = set()

    async def fire(self, event: str, *args: Any, **kwargs: Any) -> list[HookResult]:
        """Call each handler of `event`, one after the other; never raises what a plugin raises.

        An async handler runs on this loop, a sync one on a daemon thread of its own, so that it
        may block. What does not end in time is cancelled or left behind, and counts as a failure.

        Raises:
            PluginError: the event is unknown.
        """
        return [await self._one(h, args, kwargs) for h in self.table.handlers(event)]

    async def _one(
        self, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HookResult:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        task = asyncio.ensure_future(self._call(handler, args, kwargs))
        done, _ = await asyncio.wait({task}, timeout=self.timeout_s)
        took_s = loop.time() - started_s
        self.table.took(handler, took_s)
        if not done:
            task.cancel()
            self._abandoned.add(task)
            task.add_done_callback(self._forget)
            return self._failed(handler, f"took longer than {self.timeout_s:g} s", timeout=True)
        if task.cancelled():
            return self._failed(handler, "was cancelled")
        error = task.exception()
        if error is not None:
            return self._failed(handler, str(error))
        if took_s > self.timeout_s:  # it never let the loop look at the clock
            return self._failed(handler, f"held the event loop for {took_s:.1f} s", timeout=True)
        self.table.succeeded(handler)
        return HookResult(handler.plugin, task.result())

    async def _call(self, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # What a handler leaves on the loop is still the plugin's.
        later = partial(self._failed_later, handler)
        with answering(later), self.border.crossing(handler.plugin, f"handle {handler.event}"):
            if inspect.iscoroutinefunction(handler.call):
                return await handler.call(*args, **kwargs)
            value = await _on_thread(self.border, handler, args, kwargs)
            return await value if inspect.isawaitable(value) else value

    def _failed_later(self, handler: Handler, error: Exception) -> bool:
        text = f"a callback that it left behind raised {type(error).__name__}: {error}"
        self._failed(handler, text)
        return False

    def _failed(self, handler: Handler, error: str, *, timeout: bool = False) -> HookResult:
        quarantined = self.table.failed(handler, error, timeout=timeout)
        if quarantined and self._on_quarantine is not None:
            self._on_quarantine(handler.plugin, error)
        return HookResult(handler.plugin, error=error, quarantined=quarantined)

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain about it later


async def _on_thread(
    border: PluginBorder, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what the sync handler returns. Not an executor: those are joined at exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: SteelyardError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def work() -> None:
        value: Any = None
        problem: SteelyardError | None = None
        try:
            with border.crossing(handler.plugin, f"handle {handler.event}"):
                value = handler.call(*args, **kwargs)
        except SteelyardError as error:
            problem = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, problem)

    threading.Thread(target=work, name=f"hook {handler.plugin}", daemon=True).start()
    return await future
