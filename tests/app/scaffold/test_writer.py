"""Every kind's template is a package whose own tests pass."""

import importlib.util
import os
import subprocess
import sys

import pytest
import yaml

from steelyard.app.scaffold.writer import write_package
from steelyard.plugins.manifest import parse_manifest
from steelyard.plugins.spec import KINDS

CORE = [
    "arrival", "backend", "collector", "console", "custom", "dataset", "endpoint", "exporter",
    "engine", "framework", "metric", "phase_hook", "post_processor", "ramp", "scheduler",
    "task_kind", "tokenizer", "ui", "integration",
]  # fmt: skip
STYLED = [
    ("scheduler", "distributed_testing"),
    ("notification", "distributed_testing"),
    ("backend", "tracelet"),
    ("collector", "tracelet"),
]


def suite_of(root_dirs, tmp_path):
    environ = {**os.environ}
    environ["PYTHONPATH"] = os.pathsep.join(str(root / "src") for root in root_dirs)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
         *(str(root / "tests") for root in root_dirs)],
        capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=100, check=False,
    )  # fmt: skip


def test_the_tests_of_every_core_template_pass(tmp_path):
    """All packages in one run: they don't get in each other's way either."""
    roots = [write_package(kind, f"my-{kind.replace('_', '-')}", tmp_path).root for kind in CORE]
    done = suite_of(roots, tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_tests_of_every_styled_template_pass(tmp_path):
    roots = [write_package(k, f"my-{k}", tmp_path, style=style).root for k, style in STYLED]
    done = suite_of(roots, tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gets_a_package_with_a_right_manifest(kind, tmp_path):
    written = write_package(kind, "thing", tmp_path)
    package = written.root / "src" / "steelyard_thing"
    data = yaml.safe_load((package / "registry.yaml").read_text())
    manifest = parse_manifest(data, file="registry.yaml", origin="test")
    assert not manifest.problems
    (spec,) = manifest.specs
    assert (spec.kind, spec.name) == (kind, "thing")
    module = importlib.util.spec_from_file_location("thing_plugin", package / "plugin.py")
    loaded = importlib.util.module_from_spec(module)
    module.loader.exec_module(loaded)
    assert hasattr(loaded, spec.target.partition(":")[2])
    assert all(len(line) <= 100 for line in (package / "plugin.py").read_text().splitlines())
