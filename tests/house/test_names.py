"""Names say what a thing is: no drawers for odds and ends, no adjectives of rank."""

import ast
import re
from pathlib import PurePosixPath

import pytest

# Module and class names of the dialects are given by the documents they spell.
GIVEN = ("src/steelyard/dialects", "tests/dialects")

DRAWERS = frozenset({"utils", "util", "common", "helpers", "helper", "misc", "base"})
ADJECTIVES = frozenset({"enhanced", "advanced", "improved", "new", "better", "old", "legacy"})
# A protocol's own version is part of its name.
PROTOCOL_VERSIONS = frozenset({"kserve_v2", "http_v1"})
FLAG = re.compile(r"^_?(HAS_[A-Z0-9_]+|[A-Z0-9_]+_AVAILABLE)$")
WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def is_drawer(stem):
    """Return True for a file or folder name that says nothing of what is inside."""
    return stem in DRAWERS or stem.startswith("base_") or stem.endswith(("_utils", "_helpers"))


def is_second_version(name):
    """Return True for a class, function or file name that sets itself above an older one."""
    words = [word.lower() for word in WORDS.findall(name)]
    versioned = len(words) > 2 and words[-2] == "v" and words[-1].isdigit()
    adjective = len(words) > 1 and (
        words[0] in ADJECTIVES - {"new", "old"} or words[-1] in ADJECTIVES
    )
    return (versioned and name not in PROTOCOL_VERSIONS) or adjective


def is_availability_flag(name):
    """Return True for a constant such as RAY_AVAILABLE: requirements belong in the manifest."""
    return FLAG.match(name) is not None


@pytest.fixture
def own(sources):
    return [source for source in sources if not source.within(*GIVEN)]


def test_no_file_or_folder_is_a_drawer(own):
    found = [
        source.path
        for source in own
        for part in PurePosixPath(source.path).with_suffix("").parts[1:]
        if is_drawer(part)
    ]
    assert found == []


def test_no_file_class_or_function_is_named_for_being_better_than_another(own):
    found = [s.path for s in own if is_second_version(PurePosixPath(s.path).stem)]
    found += [
        f"{source.path}:{node.lineno} {node.name}"
        for source in own
        if not source.within("tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and is_second_version(node.name)
    ]
    assert found == []


def test_no_flag_says_whether_a_library_is_available(sources):
    found = [
        f"{source.path}:{node.lineno} {node.id}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Store)
        and is_availability_flag(node.id)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("judge", "bad", "good"),
    [
        (is_drawer, ["utils", "base_service", "string_utils", "common"], ["service", "baseline"]),
        (
            is_second_version,
            ["EnhancedWorker", "worker_v2", "SchedulerV2", "advanced_plan", "pool_legacy"],
            ["new", "new_plugin", "Worker", "http1", "v1_models", "received"],
        ),
        (is_availability_flag, ["RAY_AVAILABLE", "_ZMQ_AVAILABLE", "HAS_TORCH"], ["AVAILABLE"]),
    ],
)
def test_the_rules_tell_bad_names_from_good_ones(judge, bad, good):
    assert [name for name in bad if not judge(name)] == []
    assert [name for name in good if judge(name)] == []
