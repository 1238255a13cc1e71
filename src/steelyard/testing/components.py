"""A pytest plugin: real components a test needs, skipped on a laptop, demanded in CI.

Use it with `pytest_plugins = ["steelyard.testing.components"]`, then in a test or fixture:

    require_component("pgrep", executable="pgrep", install="make setup-system")

Where the component is missing the test is skipped and says what to install. With `CI=true` in the
environment such a skip is a failure, and so is one by `pytest.importorskip`: a suite that passes
in CI has really run.
"""

import importlib.util
import os
import shutil
from collections.abc import Generator
from typing import Any

import pytest

_MISSING = ("needs ", "could not import")


def require_component(
    name: str,
    *,
    install: str,
    module: str | None = None,
    executable: str | None = None,
    present: bool | None = None,
) -> None:
    """Skip the test unless the component is there.

    Args:
        name: what a person calls it.
        install: the command that installs it.
        module: a Python module that must be importable (it is not imported).
        executable: a program that must be on the PATH.
        present: the answer of a check of your own.

    Raises:
        pytest.skip.Exception: it is missing; with CI=true the test then counts as failed.
    """
    missing = (
        (module is not None and importlib.util.find_spec(module) is None)
        or (executable is not None and shutil.which(executable) is None)
        or present is False
    )
    if missing:
        pytest.skip(f"needs {name}; install it with: {install}")


def in_ci() -> bool:
    """Return True where the environment says `CI=true`."""
    return os.environ.get("CI", "").lower() == "true"


def _demand(report: Any) -> None:
    """Turn a skip for a missing component into a failure."""
    if not (in_ci() and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = str(report.longrepr[2]).removeprefix("Skipped: ")
    if reason.startswith(_MISSING):
        report.outcome = "failed"
        report.longrepr = f"In CI every component must be there: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Judge the skips of tests and of their fixtures."""
    report = yield
    _demand(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """Judge the skips of whole modules."""
    report = yield
    _demand(report)
    return report
