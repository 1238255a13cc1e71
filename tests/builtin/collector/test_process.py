"""What a process tree uses is counted whole: real processes, real memory."""

import os
import subprocess
import sys
import time

import pytest

from steelyard.builtin.collector.process import ProcessCollector

MEGABYTE = 1 << 20
BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
HOLD = "import sys\nkept = bytearray({}) \nprint('ready', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def holder():
    """A child that holds 64 MiB until the test is over."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(64 * MEGABYTE)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    child.stdout.readline()
    yield child
    child.communicate()


def started(**options):
    collector = ProcessCollector(**options)
    collector.start()
    return collector


def processor_s():
    """Return the processor time of this process and of its children that are over."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def settled(collector):
    """Return a sample after the time until children are looked for again."""
    collector._tree_due._due_ns = 0
    return collector.collect()


def test_its_own_processor_time_is_counted():
    collector = started(children=False)
    begun = time.monotonic()
    before = collector.collect()["cpu_s"]
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    found = collector.collect()
    used_s = found["cpu_s"] - before
    assert 0.15 <= used_s <= 2.0
    assert found["cpu_percent"] >= 0.9 * 100 * used_s / (time.monotonic() - begun)


def test_a_child_that_is_over_is_its_parents_time():
    """What it used is there after it ended, and once: as the system itself counts it."""
    collector = started()
    before, begun = collector.collect()["cpu_s"], processor_s()
    subprocess.run([sys.executable, "-c", BURN.format(1.0)], check=True)
    used_s = settled(collector)["cpu_s"] - before
    assert 0.9 <= used_s <= processor_s() - begun + 0.2


def test_memory_of_children_is_added(holder):
    alone = started(children=False).collect()
    whole = settled(started())
    assert whole["rss_bytes"] - alone["rss_bytes"] >= 64 * MEGABYTE
    assert whole["pss_bytes"] - alone["pss_bytes"] >= 60 * MEGABYTE
    assert whole["processes"] >= 2 > alone["processes"]


def test_pss_is_asked_for_rarely():
    """The second sample within half a minute has none."""
    collector = started()
    assert "pss_bytes" in collector.collect()
    assert "pss_bytes" not in collector.collect()
    assert "pss_bytes" not in started(pss=False).collect()


def test_bytes_and_open_files_are_counted(tmp_path):
    """4 MiB written within a second are that many bytes a second, or more."""
    collector = started(children=False)
    begun = time.monotonic()
    before = collector.collect()["fds"]
    with (tmp_path / "out").open("wb") as file, (tmp_path / "other").open("wb"):
        file.write(bytes(4 * MEGABYTE))
        file.flush()
        found = collector.collect()
    assert found["write_bytes_per_s"] >= 4 * MEGABYTE / (time.monotonic() - begun + 0.5)
    assert found["fds"] == before + 2


def test_a_tree_whose_root_is_gone_is_empty():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    collector = started(pid=child.pid)
    assert collector.collect()["processes"] == 1
    child.communicate()
    assert settled(collector)["processes"] == 0
