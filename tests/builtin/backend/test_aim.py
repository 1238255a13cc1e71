"""What Aim can hold, and whose lock may be taken."""

import os
import subprocess
import sys

import pytest

from steelyard.builtin.backend.aim import AimBackend, lock_is_left, run_hash, why_not_param
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import points


def test_a_run_has_one_hash():
    assert run_hash("a") == run_hash("a") != run_hash("b")
    assert len(run_hash("a")) == 24


def test_integers_beyond_64_bits_are_refused_wherever_they_are():
    for value in (1 << 63, -(1 << 63) - 1, [1, 1 << 63], {"a": {"b": [1 << 70]}}):
        assert "'p'" in why_not_param(("p", value))
    for value in ((1 << 63) - 1, -(1 << 63), 1e300, True, None, ["x", {"a": 1}]):
        assert why_not_param(("p", value)) == ""


def test_only_the_lock_of_a_process_that_is_gone_may_be_taken(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock = tmp_path / "lock"
    assert lock_is_left(lock)
    for pid, is_left in ((gone.pid, True), (os.getpid(), True), (os.getppid(), False)):
        lock.write_text(f"123456-{pid}-1780000000.5")
        assert lock_is_left(lock) is is_left


def test_a_server_is_refused():
    with pytest.raises(PluginError, match="aim://"):
        AimBackend("aim://host:53800")


def test_it_must_be_open_to_log(tmp_path):
    with pytest.raises(PluginError, match="not open"):
        AimBackend(str(tmp_path)).log(points(1))
