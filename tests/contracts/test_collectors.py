"""Our own collectors keep the contract that strangers must keep.

GPUs have theirs in tests/builtin/collector/test_gpu.py: it needs a library in place of a driver's.
"""

import subprocess

import pytest

from steelyard.runtime.discovery import builtin_manifest
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.collector import CollectorContract, CollectorSubject

HOST = PluginHost.standard()


def load(name):
    return HOST.load("collector", name)


class TestSystem(CollectorContract):
    @pytest.fixture
    def subject(self):
        return CollectorSubject(
            load("system"),
            names=("cpu_percent", "memory_percent", "swap_percent", "disk_percent", "load_1m"),
        )


class TestSystemWhole(CollectorContract):
    @pytest.fixture
    def subject(self):
        cls = load("system")
        return CollectorSubject(cls, lambda: cls(per_cpu=True), names=("cpu_percent", "cpu/0"))


class TestProcess(CollectorContract):
    @pytest.fixture
    def subject(self):
        return CollectorSubject(
            load("process"), names=("cpu_percent", "rss_bytes", "threads", "fds", "processes")
        )


class TestGit(CollectorContract):
    @pytest.fixture
    def subject(self, tmp_path):
        for words in (["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "a"],
                      ["commit", "-q", "--allow-empty", "-m", "one"]):  # fmt: skip
            subprocess.run(["git", *words], cwd=tmp_path, check=True)
        cls = load("git")
        return CollectorSubject(cls, lambda: cls(directory=str(tmp_path)), facts=("commit",))


class TestEnvironment(CollectorContract):
    @pytest.fixture
    def subject(self):
        cls = load("environment")
        told = ("STEELYARD_KIT_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY")
        return CollectorSubject(
            cls, lambda: cls(variables=told), facts=("python", "os", "cpus", "packages")
        )


class TestCluster(CollectorContract):
    @pytest.fixture
    def subject(self, monkeypatch):
        monkeypatch.setenv("SLURM_JOB_ID", "77")
        return CollectorSubject(load("cluster"), facts=("slurm.job_id",))


class TestEnergy(CollectorContract):
    @pytest.fixture
    def subject(self, tmp_path):
        zone = tmp_path / "sys/class/powercap/intel-rapl:0"
        zone.mkdir(parents=True)
        (zone / "name").write_text("package-0\n")
        (zone / "energy_uj").write_text("5000000\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        cls = load("energy")
        return CollectorSubject(
            cls, lambda: cls(root=str(tmp_path)), names=("measured/package-0_energy_j",)
        )


def test_every_collector_says_that_it_looks_at_this_machine_only():
    """Who runs on many machines asks each for its own."""
    specs = [spec for spec in builtin_manifest().specs if spec.kind == "collector"]
    assert len(specs) == 7
    assert all(spec.metadata["is_local"] is True for spec in specs)
