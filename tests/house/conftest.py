"""The sources of the house, read and parsed once."""

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root of the repository, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    def within(self, *folders):
        return any(self.path.startswith(f"{folder}/") for folder in folders)


def pytest_collection_modifyitems(items):
    """Give the first test that needs all sources time to parse them, however slow the machine."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def files():
    """Every file that is, or would be, in the repository, as paths from its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@pytest.fixture(scope="session")
def sources(files):
    """Every Python file of the repository."""
    texts = {name: (ROOT / name).read_text() for name in files if name.endswith(".py")}
    assert texts, "no Python file found: these tests would hold nothing"
    return [Source(name, text, ast.parse(text, name)) for name, text in texts.items()]
