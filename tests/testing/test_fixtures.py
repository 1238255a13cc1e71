"""The pytest plugin for strangers: instant sleep, seed 42, no leftovers."""

import asyncio
import functools
import random
import sys
import types

import numpy as np
import pytest

from steelyard.testing import fixtures

PLUGIN = ("-p", "steelyard.testing.fixtures", "-p", "no:cacheprovider")


@functools.cache
def _tenant():
    return object()


def test_chance_starts_from_42():
    assert random.random() == random.Random(42).random()  # noqa: S311  the draw itself is the claim
    legacy = np.random.random()  # noqa: NPY002  strangers' code uses the global generator
    assert legacy == np.random.RandomState(42).random()


def test_chance_starts_from_42_in_every_test():
    test_chance_starts_from_42()


@pytest.mark.instant_sleep
async def test_a_test_that_asks_waits_no_time(instant_sleep):
    before = asyncio.get_running_loop().time()
    assert await asyncio.sleep(3600, "done") == "done"
    assert asyncio.get_running_loop().time() - before < 10
    assert instant_sleep == [3600]


@pytest.mark.instant_sleep
async def test_an_instant_sleep_still_lets_the_others_run():
    seen = []

    async def other():
        seen.append("other")

    task = asyncio.create_task(other())
    await asyncio.sleep(1)
    assert seen == ["other"]
    await task


async def test_here_a_test_that_does_not_ask_lives_in_real_time():
    before = asyncio.get_running_loop().time()
    await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - before >= 0.019


def test_what_a_module_caches_is_forgotten_between_tests(monkeypatch):
    module = types.ModuleType("steelyard.invented")
    module.tenant = _tenant
    monkeypatch.setitem(sys.modules, "steelyard.invented", module)
    first = _tenant()
    assert _tenant() is first
    fixtures.reset_singletons()
    assert _tenant() is not first


def test_a_reset_is_called_once_per_test(monkeypatch):
    monkeypatch.setattr(fixtures, "_resets", [])
    calls = []
    reset = fixtures.on_reset(lambda: calls.append("reset"))
    fixtures.on_reset(reset)
    fixtures.reset_singletons()
    assert calls == ["reset"]


def test_in_a_suite_with_the_defaults_sleep_is_instant_unless_marked(pytester):
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    pytester.makepyfile("""
        import asyncio, time
        import pytest

        async def test_unmarked():
            before = time.monotonic()
            await asyncio.sleep(60)
            assert time.monotonic() - before < 10

        @pytest.mark.real_time
        async def test_marked():
            before = time.monotonic()
            await asyncio.sleep(0.02)
            assert time.monotonic() - before >= 0.019
    """)
    pytester.runpytest_subprocess(*PLUGIN, "--strict-markers").assert_outcomes(passed=2)
