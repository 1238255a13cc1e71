"""Where a run listens for its workers: as it was told, or where it faces the cluster."""

import socket

import msgspec
import pytest

from steelyard.app.placing import RAY_ADDRESS, listen_of, placement_of
from steelyard.app.placing_engine import EnginePlacement
from steelyard.domain.bench.plan import EndpointPlan, EnginePlan, Plan, RemotePlan
from steelyard.kernel.errors import UsageError

PLAN = Plan(
    run_id="r", models=("m",), endpoint=EndpointPlan(), phases=(), artifact_dir="/nowhere",
    run_type="ray", remote=RemotePlan(listen=""), engine=EnginePlan(),
)  # fmt: skip


def on(address):
    return msgspec.structs.replace(PLAN, engine=EnginePlan(options={"address": address}))


def require_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this host has no IPv6 loopback: {error}")


@pytest.mark.parametrize("address", ["127.0.0.2:6379", "localhost:6379", "[::1]:6379"])
def test_it_listens_where_the_way_to_the_cluster_begins(address):
    """On this machine for a cluster on this machine; nothing is sent to find out."""
    if "[" in address:
        require_ipv6()
    host = listen_of(on(address), {}).rpartition(":")[0]
    with socket.create_server((host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host
                              else socket.AF_INET):  # fmt: skip
        assert host in {"127.0.0.1", "127.0.0.2", "[::1]"}


def test_what_a_person_says_wins(monkeypatch):
    plan = msgspec.structs.replace(on("127.0.0.2:1"), remote=RemotePlan(listen="10.9.8.7:5"))
    assert listen_of(plan, {}) == "10.9.8.7:5"


def test_the_cluster_may_be_named_by_rays_own_variable():
    assert listen_of(PLAN, {RAY_ADDRESS: "127.0.0.3:6379"}) in {"127.0.0.1:0", "127.0.0.3:0"}


def test_without_a_cluster_it_is_this_machine():
    local = msgspec.structs.replace(PLAN, engine=EnginePlan(name="local"))
    assert listen_of(local, {RAY_ADDRESS: "10.0.0.1:1"}) == "127.0.0.1:0"


def test_a_cluster_that_nobody_named_is_asked_for():
    with pytest.raises(UsageError, match="--ray-address"):
        listen_of(PLAN, {})


def test_an_address_that_is_none_is_refused():
    for address in ("auto", "head", "host:port", "10.0.0.1:70000"):
        with pytest.raises(UsageError, match="fleet join"):
            listen_of(on(address), {})


def test_each_run_type_has_its_placement():
    local = EnginePlan(name="local")
    plan = msgspec.structs.replace(PLAN, engine=local)
    assert isinstance(placement_of(plan, print), EnginePlacement)
    assert placement_of(msgspec.structs.replace(plan, run_type="process"), print) is None
