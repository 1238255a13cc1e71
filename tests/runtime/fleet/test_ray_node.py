"""A node that can't be started says why; real nodes are in the acceptance tests."""

import signal
import stat
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from local_rig import gone

from steelyard.app.signals import EXIT_INTERRUPTED
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.ray_node import NodePlan, RayNode

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def plan(tmp_path, **more):
    return NodePlan(**{"worker_id": "n", "token_path": str(tmp_path / "token")} | more)


def test_who_joins_needs_the_heads_token(tmp_path):
    with pytest.raises(UsageError, match="no token"):
        RayNode(plan(tmp_path, head="127.0.0.2:1"), tmp_path / "node").start()
    assert not (tmp_path / "token").exists()


@needs_ray
@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 64, "a/b", "a=b,c"])
def test_a_name_that_ray_does_not_take_is_refused_before_anything_starts(name, tmp_path):
    with pytest.raises(UsageError, match="label of Ray"):
        RayNode(plan(tmp_path, worker_id=name), tmp_path / "node").start()
    assert not (tmp_path / "node").exists()


@needs_ray
def test_a_new_head_makes_a_token_that_only_its_user_reads(tmp_path):
    node = RayNode(plan(tmp_path, worker_id="?"), tmp_path / "node")
    with pytest.raises(UsageError, match="label of Ray"):
        node.start()
    token = tmp_path / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64


def test_what_never_began_can_be_stopped(tmp_path):
    node = RayNode(plan(tmp_path), tmp_path)
    node.stop()
    assert node.wait() == 0


def test_the_address_is_the_heads(tmp_path):
    assert RayNode(plan(tmp_path, head="10.0.0.1:6379"), tmp_path).address == "10.0.0.1:6379"
    assert RayNode(plan(tmp_path, host="10.0.0.2", port=99), tmp_path).address == "10.0.0.2:99"


STARTING = """
import os, sys
from steelyard.cli.main import main
from steelyard.runtime.fleet.ray_node import RayNode

SLOW = "import os, sys, time; print(os.getpid(), os.fork(), flush=True); time.sleep(600)"
RayNode._argv = lambda self: [sys.executable, "-c", SLOW]
main()
"""


def test_a_signal_while_a_node_starts_ends_the_node_and_is_told_by_the_exit_code(tmp_path):
    """Whoever had it started knows then that nothing of it is left."""
    words = ["fleet", "join", "--dir", str(tmp_path / "n"), "--token-file", str(tmp_path / "token")]
    log = tmp_path / "n" / "ray-node.log"
    with subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", STARTING, *words], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as begun:  # fmt: skip
        deadline_s = time.monotonic() + 150
        while len(pids := (log.read_text() if log.exists() else "").split()) < 4:
            if begun.poll() is not None or time.monotonic() > deadline_s:
                begun.send_signal(signal.SIGABRT)  # it says where it stands
                pytest.fail(f"no node: {pids}\n{begun.communicate()}")
            time.sleep(0.01)
        begun.send_signal(signal.SIGTERM)
        _, errors = begun.communicate(timeout=60)
    assert (begun.returncode, errors.splitlines()[-1]) == (EXIT_INTERRUPTED, "Interrupted.")
    assert not gone([int(pid) for pid in pids if pid != "0"])


def test_a_second_signal_amid_the_end_leaves_no_process_either(tmp_path, monkeypatch):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('Ray runtime started', flush=True); time.sleep(600)"
    )
    node = RayNode(plan(tmp_path), tmp_path / "node")
    monkeypatch.setattr(RayNode, "_argv", lambda self: [sys.executable, "-c", stubborn])
    node.start()
    process = node._process

    def interrupted(timeout=None, wait=process.wait):
        if timeout is not None:
            raise KeyboardInterrupt
        return wait()

    process.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        node.stop()
    assert process.returncode == -signal.SIGKILL
