"""The import rules hold, and they bite: each is broken once, in a copy, and must be reported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def lint_imports(folder):
    """Run import-linter on the tree in `folder`; return its exit code and report."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(program), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def house(root, tmp_path):
    """Return a copy of the sources that a test may spoil."""
    shutil.copytree(
        root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copy(root / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_keeps_its_import_rules(house):
    code, report = lint_imports(house)
    assert code == 0, report
    assert "0 broken" in report


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ({"kernel/upward.py": "import steelyard.runtime\n"}, "Imports go down only"),
        ({"testing/sideways.py": "import steelyard.dialects\n"}, "Imports go down only"),
        ({"annex/__init__.py": ""}, "Imports go down only"),
        (
            {
                "domain/fleet/__init__.py": '"""A sibling."""\n',
                "domain/fleet/nosy.py": "import steelyard.domain.bench.plan\n",
            },
            "strangers",
        ),
        ({"domain/bench/restless.py": "import asyncio\n"}, "decide and never do"),
        ({"plugins/curious.py": "from pathlib import Path\n"}, "decide and never do"),
        (
            {
                "builtin/endpoint/first.py": "",
                "builtin/endpoint/second.py": "import steelyard.builtin.endpoint.first\n",
            },
            "Batteries are independent",
        ),
        (
            {
                "runtime/hen.py": "import steelyard.runtime.egg\n",
                "runtime/egg.py": "import steelyard.runtime.hen\n",
            },
            "No cycles",
        ),
    ],
)
def test_each_import_rule_is_reported_when_it_is_broken(house, written, rule):
    for name, text in written.items():
        path = house / "src" / "steelyard" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code, report = lint_imports(house)
    broken = [line for line in report.splitlines() if line.endswith("BROKEN")]
    assert code == 1, report
    assert any(rule in line for line in broken), report
