"""Runs a command where there is no network but a loopback of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

VARIABLE = "STEELYARD_TEST_OFFLINE"
"""Set in such a place; tests of the trackers are collected there only."""

_UP = 'ip link set lo up && exec "$@"'
_WAYS = (("unshare", "--net"), ("unshare", "--net", "--map-root-user"))


@cache
def way_offline() -> tuple[str, ...]:
    """Return the words before a command; skip the test where the kernel refuses them."""
    for way in _WAYS:
        words = (*way, "sh", "-c", _UP, "offline")
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
            return words
    pytest.skip("this user may not make a network namespace")


def run_offline(
    command: Sequence[str], *, home: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what `command` did; `home` is its HOME, as SDKs keep files there."""
    return subprocess.run(
        [*way_offline(), *command],
        env={**os.environ, "HOME": str(home), VARIABLE: "1", **(env or {})},
        text=True,
        capture_output=True,
        timeout=timeout_s,
        check=False,
    )


def run_tests_offline(
    path: Path, *, home: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Return what pytest, run there, did with the tests in `path`."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
    return run_offline(words, home=home, timeout_s=timeout_s)
