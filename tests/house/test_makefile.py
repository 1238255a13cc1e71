"""The Makefile offers what the documents promise, and explains it."""

import os
import re
import subprocess

import pytest

PROMISED = [
    "help",
    "first-time-setup",
    "install",
    "setup-system",
    "demo",
    "test",
    "test-verbose",
    "coverage",
    "lint",
    "lint-fix",
    "format",
    "check-format",
    "check",
    "bench",
    "docs",
    "generate-cli-docs",
    "generate-env-vars-docs",
    "generate-plugin-docs",
    "docker",
    "clean",
]


def make(root, *words):
    return subprocess.run(
        ["make", *words],
        cwd=root,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target_with_its_purpose(root):
    listed = dict(re.findall(r"^  ([a-z-]+) +(\S.*)$", make(root).stdout, re.MULTILINE))
    assert set(PROMISED) - set(listed) == set()
    assert all(len(purpose) > 10 for purpose in listed.values())


@pytest.mark.parametrize("target", PROMISED)
def test_every_promised_target_knows_what_to_run(root, target):
    done = make(root, "--dry-run", target)
    assert done.returncode == 0, done.stderr


def test_every_script_that_make_and_ci_run_is_there(root):
    told = (root / "Makefile").read_text() + (root / ".ci" / "run").read_text()
    scripts = set(re.findall(r"tools/[\w-]+\.(?:py|sh)", told))
    assert scripts
    assert [name for name in sorted(scripts) if not (root / name).is_file()] == []
