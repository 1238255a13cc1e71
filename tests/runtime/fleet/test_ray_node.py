"""A node that can't be started says why; real nodes are in the acceptance tests."""

import stat
from importlib.util import find_spec

import pytest

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
