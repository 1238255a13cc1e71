"""A worker has what its machine has, or less where its cgroups say so."""

import os
import shutil

import psutil
import pytest

from steelyard.runtime.fleet.machine_room import cpu_cores, disk_gb, groups, memory_gb

CORES = len(os.sched_getaffinity(0))


def tree(root, **files):
    """Write files below `root`; `__` in a name is `/`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def second(root, path="/jobs/a", **files):
    return tree(root, proc__self__cgroup=f"0::{path}\n", **files)


def first(root, **files):
    text = "4:memory:/box/x\n3:cpuset:/\n2:cpu,cpuacct:/box\n1:name=systemd:/\n"
    return tree(root, proc__self__cgroup=text, **files)


def test_this_machine_has_what_others_say_it_has():
    assert 0 < cpu_cores() <= CORES
    assert 0 < memory_gb() <= psutil.virtual_memory().total / 1e9
    assert disk_gb("/") == pytest.approx(shutil.disk_usage("/").free / 1e9, rel=0.05)


def test_the_disk_is_that_of_a_directory_to_come(tmp_path):
    there = disk_gb(str(tmp_path))
    assert disk_gb(str(tmp_path / "a/b/c")) == pytest.approx(there, rel=0.05)


def test_without_cgroups_it_is_the_machine_itself(tmp_path):
    tree(tmp_path, proc__meminfo="MemFree: 1 kB\nMemTotal:       2000000 kB\n")
    assert memory_gb(tmp_path) == 2.048
    assert cpu_cores(tmp_path) == CORES
    assert groups(tmp_path, "cpu") == []


@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [("max 100000", "max 100000", CORES), ("50000 100000", "max 100000", 0.5),
     ("max 100000", "25000 100000", 0.25), ("100000 0", "", CORES)],
)  # fmt: skip
def test_a_quota_of_the_group_or_above_it_holds(tmp_path, own, above, cores):
    second(
        tmp_path,
        sys__fs__cgroup__jobs__a__cpu_dot_max=own,
        sys__fs__cgroup__jobs__cpu_dot_max=above,
    )
    assert cpu_cores(tmp_path) == cores


def test_the_lowest_limit_of_memory_holds(tmp_path):
    second(
        tmp_path,
        proc__meminfo="MemTotal: 8000000 kB",
        sys__fs__cgroup__jobs__a__memory_dot_max="max",
        sys__fs__cgroup__jobs__a__memory_dot_high="3000000000",
        sys__fs__cgroup__jobs__memory_dot_max="2000000000",
    )
    assert memory_gb(tmp_path) == 2.0


def test_the_first_version_has_a_tree_a_controller(tmp_path):
    first(
        tmp_path,
        proc__meminfo="MemTotal: 8000000 kB",
        **{
            "sys__fs__cgroup__cpu,cpuacct__box__cpu_dot_cfs_quota_us": "20000",
            "sys__fs__cgroup__cpu,cpuacct__box__cpu_dot_cfs_period_us": "100000",
            "sys__fs__cgroup__memory__box__x__memory_dot_limit_in_bytes": "9223372036854771712",
            "sys__fs__cgroup__memory__box__memory_dot_limit_in_bytes": "1500000000",
        },
    )
    assert cpu_cores(tmp_path) == 0.2
    assert memory_gb(tmp_path) == 1.5


def test_no_quota_of_the_first_version_is_minus_one(tmp_path):
    first(
        tmp_path,
        sys__fs__cgroup__cpu__box__cpu_dot_cfs_quota_us="-1",
        sys__fs__cgroup__cpu__box__cpu_dot_cfs_period_us="100000",
    )
    assert cpu_cores(tmp_path) == CORES


def test_in_a_container_the_path_is_the_hosts_and_the_limit_at_the_top(tmp_path):
    second(tmp_path, "/docker/4711", proc__meminfo="MemTotal: 8000000 kB",
           sys__fs__cgroup__memory_dot_max="1000000000")  # fmt: skip
    assert memory_gb(tmp_path) == 1.0
