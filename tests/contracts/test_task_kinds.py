"""Our own kinds of tasks keep the contract that strangers must keep."""

import pytest

from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.task_kind import TaskKindContract, TaskKindSubject

HOST = PluginHost.standard()


def load(name):
    return HOST.load("task_kind", name)


class TestCommand(TaskKindContract):
    @pytest.fixture
    def subject(self):
        return TaskKindSubject(
            load("command"),
            "command",
            good={"argv": ["/bin/cat", "in/a.txt"], "env": {"A": "1"}, "files": {"in/a.txt": "x"}},
            bad={"shell": "echo no >&2; exit 3"},
            wrong=(
                {},
                {"argv": ["true"], "shell": "true"},
                {"argv": "true"},
                {"argv": ["a\0b"]},
                {"argv": [1]},
                {"shell": "true", "files": {"../x": ""}},
                {"shell": "true", "files": {"/etc/x": ""}},
                {"shell": "true", "env": {"A=B": "1"}},
                {"shell": "true", "env": {"A": 1}},
            ),
        )


class TestCallable(TaskKindContract):
    @pytest.fixture
    def subject(self):
        return TaskKindSubject(
            load("callable"),
            "callable",
            good={"function": "math:hypot", "args": [3, 4]},
            bad={"function": "math:sqrt", "args": [-1]},
            wrong=(
                {},
                {"function": "math.sqrt"},
                {"function": "os:system; rm"},
                {"function": "math:sqrt", "args": 2},
                {"function": "math:sqrt", "kwargs": [2]},
            ),
        )


class TestPytest(TaskKindContract):
    @pytest.fixture
    def subject(self, tmp_path):
        good, bad = tmp_path / "test_good.py", tmp_path / "test_bad.py"
        good.write_text("def test_one(): assert True\n")
        bad.write_text("def test_one(): assert False, 'on purpose'\n")
        plain = {"args": ["-p", "no:cacheprovider"], "env": {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}}
        return TaskKindSubject(
            load("pytest"),
            "pytest",
            good={"paths": [str(good)], "reruns": 1, **plain},
            bad={"paths": [str(bad)], **plain},
            wrong=(
                {},
                {"paths": []},
                {"paths": ["--co"]},
                {"paths": ["t"], "rootdir": "here"},
                {"paths": ["t"], "shards": 0},
                {"paths": ["t"], "shard": 3, "shards": 2},
                {"paths": ["t"], "reruns": 100},
            ),
        )


class TestPytestInShards(TaskKindContract):
    @pytest.fixture
    def subject(self, tmp_path):
        suite = tmp_path / "test_suite.py"
        suite.write_text("def test_one(): pass\ndef test_two(): pass\n")
        good = {"paths": [str(suite)], "shards": 2, "args": ["-p", "no:cacheprovider"]}
        return TaskKindSubject(load("pytest"), "pytest", good=good)


class TestBenchmark(TaskKindContract):
    @pytest.fixture
    def subject(self):
        plan = {"models": ["m"], "load": {"concurrency": 2, "request_count": 5}}
        return TaskKindSubject(
            load("benchmark"),
            "benchmark",
            good={"plan": plan, "flags": ["--run-type", "inline"]},
            bad={"flags": ["--no-such-flag"]},
            wrong=(
                {},
                {"plan": plan, "file": "/a.yaml"},
                {"file": "a.yaml"},
                {"flags": "--url"},
            ),
        )
