"""What a script runs in is told, and nothing that it hides."""

import importlib.metadata
import platform
import subprocess
import sys

import pytest

from steelyard.builtin.collector.environment import (
    TEXT_MAX,
    VARIABLES,
    EnvironmentCollector,
    installed,
    told_variables,
)
from steelyard.kernel.secrets import is_secret


def test_python_and_machine_are_those_of_the_process():
    found = EnvironmentCollector(packages=False).facts()
    assert found.params["python"] == platform.python_version()
    assert found.params["cpus_usable"] >= 1
    assert found.params["cpu_model"]
    assert found.artifacts == {}


def test_packages_are_those_that_are_installed():
    """A line each, by name, as pip would install them again."""
    found = EnvironmentCollector().facts()
    lines = found.artifacts["packages.txt"].decode().splitlines()
    assert lines == installed()
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())
    assert f"psutil=={importlib.metadata.version('psutil')}" in lines
    assert found.params["packages"] == len(lines)


def test_of_two_versions_the_one_that_is_imported_counts(tmp_path):
    for number, place in enumerate(("first", "second"), 1):
        info = tmp_path / place / "thing-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Thing\nVersion: {number}.0\n")
    code = "from steelyard.builtin.collector.environment import installed; print(installed())"
    path = f"{tmp_path / 'first'}:{tmp_path / 'second'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path.split(':')!r}; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "'Thing==1.0'" in done.stdout
    assert "Thing==2.0" not in done.stdout


def test_only_listed_variables_are_told(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("HOME_GROWN", "x")
    found = EnvironmentCollector(packages=False).facts().params["variables"]
    assert found["OMP_NUM_THREADS"] == "4"
    assert set(found) <= set(VARIABLES)
    found = EnvironmentCollector(packages=False, variables=["HOME_GROWN"]).facts()
    assert found.params["variables"]["HOME_GROWN"] == "x"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "abc"), ("DB_PASSWORD", "abc"), ("WANDB_API_KEY", "abc"),
        ("DATABASE_URL", "postgres://u:p@h/d"), ("EXTRA", "ghp_" + "a1B2" * 9),
    ],
)  # fmt: skip
def test_a_listed_secret_is_not_told_all_the_same(name, value):
    assert told_variables({name: value}, [name]) == {}


def test_no_listed_variable_has_a_secrets_name():
    assert not [name for name in VARIABLES if is_secret(name, "plain")]


def test_long_values_are_cut():
    assert (
        told_variables({"LANG": "x " * TEXT_MAX}, ["LANG"])["LANG"] == ("x " * TEXT_MAX)[:TEXT_MAX]
    )


def test_limits_of_the_control_group_are_told(tmp_path):
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "memory.max").write_text("1073741824\n")
    found = EnvironmentCollector(packages=False, root=str(tmp_path)).facts().params
    assert (found["cpu_limit"], found["memory_limit_bytes"]) == (1.5, 1 << 30)
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text("max\n")
    found = EnvironmentCollector(packages=False, root=str(tmp_path)).facts().params
    assert not {"cpu_limit", "memory_limit_bytes"} & set(found)
