"""What an import costs, as the set of modules it loads: exact, where times would waver."""

import json
import subprocess
import sys

import pytest

# Each takes tens of milliseconds or megabytes; loaded where it is used, never before.
HEAVY = frozenset(
    {
        "duckdb",
        "fastapi",
        "httptools",
        "jinja2",
        "jsonschema",
        "numpy",
        "psutil",
        "pyarrow",
        "sqlalchemy",
        "uvicorn",
        "uvloop",
        "zmq",
    }
)
LIGHT = frozenset({"asyncio", "cyclopts", "msgspec", "pydantic", "rich", "yaml"})

_REPORT = "\nimport json, sys; sys.stderr.write(json.dumps(sorted(sys.modules)))"
_HELP = """
import sys
from steelyard.cli.main import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code, end.code
"""

_EVERY_MODULE = """
import importlib, json, pkgutil, sys, threading
import steelyard
names = [m.name for m in pkgutil.walk_packages(steelyard.__path__, "steelyard.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
sys.stderr.write(json.dumps({"count": len(names), "threads": threads}))
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def loaded(code):
    """Return the top-level names of all modules that `code` loads in a new interpreter."""
    names = json.loads(run(code + _REPORT).stderr)
    return {name.partition(".")[0] for name in names} | set(names)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import steelyard", HEAVY | LIGHT),
        ("import steelyard.bench", HEAVY | LIGHT),
        ("import steelyard.track", HEAVY | LIGHT),
        ("from steelyard.fleet import Client", HEAVY | {"asyncio", "cyclopts", "pydantic", "yaml"}),
        ("import steelyard.kernel.errors", HEAVY | LIGHT),
        ("import steelyard.dialects", HEAVY | LIGHT),
        ("import steelyard.testing", HEAVY | LIGHT | {"pytest"}),
        (_HELP, HEAVY | {"asyncio", "cyclopts", "pydantic", "rich"}),
    ],
)
def test_an_import_loads_no_more_than_it_says(code, unwanted):
    assert loaded(code) & unwanted == set()


def test_the_probe_sees_what_is_loaded():
    assert {"json", "numpy"} <= loaded("import numpy")


def test_importing_every_module_prints_nothing_and_starts_nothing(tmp_path):
    done = run(f"import os; os.chdir({str(tmp_path)!r})\n{_EVERY_MODULE}")
    told = json.loads(done.stderr)
    assert done.stdout == ""
    assert told["threads"] == []
    assert told["count"] > 20
    assert list(tmp_path.iterdir()) == []
