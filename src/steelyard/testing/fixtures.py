"""A pytest plugin: every test starts from the same chance and without another test's leftovers.

Use it with `pytest_plugins = ["steelyard.testing.fixtures"]` in the top-level `conftest.py`.

- Before each test the global generators of `random` and numpy start from seed 42.
- After each test every process-wide object that a Steelyard module keeps behind
  `functools.cache` is forgotten, and each callable given to `on_reset` is called.
- `asyncio.sleep` returns at once, so that waiting costs a test nothing. A test of real time says
  `@pytest.mark.real_time`. A suite in which most tests live in real time writes
  `steelyard_instant_sleep = false` in its pytest settings, and the exceptions say
  `@pytest.mark.instant_sleep`.
"""

import asyncio
import functools
import random
import sys
from collections.abc import Callable, Iterator

import pytest

SEED = 42

_resets: list[Callable[[], object]] = []


def on_reset(reset: Callable[[], object]) -> Callable[[], object]:
    """Have `reset` called after every test; returns it, so that it can be a decorator."""
    if reset not in _resets:
        _resets.append(reset)
    return reset


def reset_singletons() -> None:
    """Forget every cached object of the loaded Steelyard modules, then call the resets."""
    loaded = [m for name, m in sys.modules.items() if name.partition(".")[0] == "steelyard"]
    for module in loaded:
        for value in list(vars(module).values()):
            if isinstance(value, functools._lru_cache_wrapper):  # noqa: SLF001  its only name
                value.cache_clear()
    for reset in _resets:
        reset()


def seed_everything(seed: int = SEED) -> None:
    """Start the global generators of `random`, and of numpy where it is loaded, from `seed`."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that says what a test without a marker gets."""
    parser.addini(
        "steelyard_instant_sleep",
        "asyncio.sleep returns at once unless a test is marked real_time",
        type="bool",
        default=True,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "real_time: asyncio.sleep really sleeps")
    config.addinivalue_line("markers", "instant_sleep: asyncio.sleep returns at once")


@pytest.fixture
def instant_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make `asyncio.sleep` return after one turn of the loop; holds the delays asked for, in s."""
    asked: list[float] = []
    really_sleep = asyncio.sleep

    async def sleep(delay: float, result: object = None) -> object:
        asked.append(delay)
        return await really_sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return asked


@pytest.fixture(autouse=True)
def _steelyard_sleep(request: pytest.FixtureRequest) -> None:
    node = request.node
    always = request.config.getini("steelyard_instant_sleep")
    asked = node.get_closest_marker("instant_sleep") is not None
    if asked or (always and node.get_closest_marker("real_time") is None):
        request.getfixturevalue("instant_sleep")


@pytest.fixture(autouse=True)
def _steelyard_seed() -> None:
    seed_everything()


@pytest.fixture(autouse=True)
def _steelyard_singletons() -> Iterator[None]:
    yield
    reset_singletons()
