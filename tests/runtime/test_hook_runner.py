"""Handlers run in order, bounded in time; one that fails harms no other and nobody's run."""

import asyncio
import re
import threading
import time
from unittest.mock import AsyncMock

import pytest
import uvloop

from steelyard.plugins.hooks import Event, HookTable
from steelyard.runtime.callback_errors import watch_callbacks
from steelyard.runtime.hook_runner import HookResult, HookRunner
from steelyard.runtime.plugin_border import PluginBorder


@pytest.fixture
def quarantined():
    return []


@pytest.fixture
def runner(quarantined):
    table = HookTable([Event("tick", ("n",)), Event("any", None)])
    return HookRunner(
        table,
        PluginBorder(),
        timeout_s=60.0,
        on_quarantine=lambda plugin, error: quarantined.append((plugin, error)),
    )


def listen(runner, plugin, call, **more):
    runner.table.register("tick", call, plugin=plugin, **more)


async def test_sync_and_async_handlers_answer_in_order_of_priority(runner):
    async def later(n):
        await asyncio.sleep(0)
        return n * 10

    listen(runner, "async", later, priority=20)
    listen(runner, "sync", lambda n: n + 1, priority=10)
    listen(runner, "mock", AsyncMock(return_value="m"), priority=30)
    assert await runner.fire("tick", 4) == [
        HookResult("sync", 5),
        HookResult("async", 40),
        HookResult("mock", "m"),
    ]


async def test_a_handler_that_raises_is_isolated_named_and_counted(runner):
    def bad(n):
        raise ValueError("no luck")

    listen(runner, "bad", bad)
    listen(runner, "good", lambda n: "ok")
    bad_result, good_result = await runner.fire("tick", 1)
    assert good_result == HookResult("good", "ok")
    assert bad_result.error == "Plugin bad failed to handle tick: ValueError: no luck."
    assert runner.border.failures == {"bad": 1}
    assert runner.table.counts["bad"].last_error.startswith("tick: Plugin bad failed")


@pytest.mark.parametrize("kind", ["async", "stubborn", "thread"])
async def test_a_handler_that_hangs_costs_its_timeout_and_no_more(runner, kind):
    """Async, async that refuses cancellation, and sync alike; the loop runs on meanwhile."""
    release, called = threading.Event(), threading.Event()
    runner.timeout_s = 0.2

    async def hang(n):
        await asyncio.Event().wait()

    async def stubborn(n):
        while not release.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    listen(
        runner,
        "bad",
        {"async": hang, "stubborn": stubborn, "thread": lambda n: release.wait()}[kind],
    )
    # Whether it ends in time is a question of the machine; that it has its turn is not.
    listen(runner, "good", lambda n: called.set())
    results = await runner.fire("tick", 1)
    assert await asyncio.to_thread(called.wait, 60)
    release.set()
    await asyncio.sleep(0.1)
    assert [result.plugin for result in results] == ["bad", "good"]
    assert results[0].error == "took longer than 0.2 s"
    assert runner.table.counts["bad"].timeouts == 1


async def test_a_handler_that_holds_the_loop_is_told_so(runner):
    runner.timeout_s = 0.2

    async def greedy(n):
        time.sleep(0.3)  # noqa: ASYNC251  what this test is about

    listen(runner, "greedy", greedy)
    (result,) = await runner.fire("tick", 1)
    assert re.fullmatch(r"held the event loop for \d+\.\d s", result.error)


async def test_a_plugin_that_keeps_failing_is_quarantined_and_the_run_goes_on(runner, quarantined):
    calls = []

    def bad(n):
        calls.append(n)
        raise ValueError(n)

    listen(runner, "bad", bad)
    listen(runner, "good", lambda n: n)
    results = [await runner.fire("tick", n) for n in range(5)]
    assert calls == [0, 1, 2]
    assert [r[-1].value for r in results] == list(range(5))
    assert [r[0].quarantined for r in results[:3]] == [False, False, True]
    assert [plugin for plugin, _ in quarantined] == ["bad"]


async def test_a_handler_that_exits_does_not_end_the_process(runner):
    def leave(n):
        raise SystemExit(1)

    listen(runner, "leaver", leave)
    (result,) = await runner.fire("tick", 1)
    assert "SystemExit" in result.error


def test_what_a_handler_leaves_on_the_loop_fails_the_plugin_and_not_the_loop(runner):
    others = []

    async def leave(n):
        asyncio.get_running_loop().call_later(0.001, int, "no number")

    async def main():
        watch_callbacks(lambda error: others.append(error) or True)
        assert (await runner.fire("tick", 1))[0].error == ""
        async with asyncio.timeout(60):
            while not runner.table.counts["bad"].last_error:
                await asyncio.sleep(0.001)

    listen(runner, "bad", leave)
    uvloop.run(main())
    assert others == []
    error = runner.table.counts["bad"].last_error
    assert error.startswith("tick: a callback that it left behind raised ValueError: invalid")


async def test_a_users_event_passes_keywords(runner):
    runner.table.register("any", lambda a, b=0: (a, b), plugin="p")
    assert (await runner.fire("any", 1, b=2))[0].value == (1, 2)


async def test_a_cancelled_fire_cancels_what_it_waits_for(runner):
    began = asyncio.Event()

    async def wait(n):
        began.set()
        await asyncio.Event().wait()

    listen(runner, "p", wait)
    task = asyncio.ensure_future(runner.fire("tick", 1))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
