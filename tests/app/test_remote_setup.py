"""What a run with workers elsewhere is refused, and what it tells them."""

import msgspec
import pytest

from steelyard.app.remote_setup import RemoteSetup, secrets_of
from steelyard.domain.bench.join_messages import HostIdentity
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan, RemotePlan
from steelyard.kernel.errors import UsageError
from steelyard.runtime.join import JOIN_VARIABLE, prepare

PLAN = Plan(
    run_id="r",
    models=("m",),
    endpoint=EndpointPlan(api_key_env="KEY", headers=(("X-A", "${ONE} and ${TWO}"),)),
    phases=(PhasePlan(name="profiling", concurrency=1),),
    artifact_dir="/nowhere",
    workers=2,
    run_type="remote",
    remote=RemotePlan(join_file="/nowhere/worker.join"),
)


def plan(**changes):
    return msgspec.structs.replace(PLAN, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"export_level": "raw"}, "--export-level raw"),
        ({"options": {"embedded_mock": True}}, "listens on this machine only"),
        ({"run_type": "process"}, "no workers elsewhere"),
    ],
)
def test_what_a_worker_elsewhere_can_not_give_is_refused_by_name(changes, words):
    """Before anything is started, with what to do instead."""
    with pytest.raises(UsageError, match=words):
        RemoteSetup(plan(**changes), print)


def test_a_join_made_before_the_run_must_fit_it(monkeypatch):
    """One for another number of workers, or without the controller's key, is told at once."""
    made = prepare("r", ["tcp://run:7000"], 2, "0")
    monkeypatch.setenv(JOIN_VARIABLE, made.encode())
    remote = RemoteSetup(PLAN, print)
    assert (remote.worker_ids, remote.spec.controller_id) == (made.service_ids, made.controller_id)
    for wrong in (made.for_workers(), prepare("r", [], 3, "0")):
        monkeypatch.setenv(JOIN_VARIABLE, wrong.encode())
        with pytest.raises(UsageError, match="no join for this run") as caught:
            RemoteSetup(PLAN, print)
        assert wrong.client_secret not in str(caught.value)


def test_only_variables_that_the_plan_names_are_for_workers():
    """And of those the ones that are set."""
    environ = {"KEY": "k", "ONE": "1", "HOME": "/root"}
    assert secrets_of(PLAN, environ) == {"KEY": "k", "ONE": "1"}


def test_a_person_is_told_how_workers_join_and_who_came(monkeypatch):
    """With the command to copy, and nothing secret in it."""
    monkeypatch.delenv(JOIN_VARIABLE, raising=False)
    said = []
    remote = RemoteSetup(PLAN, said.append)
    join = prepare("r", ["tcp://10.0.0.5:7000"], 2, "0")
    remote.spec.on_open(join)
    remote.spec.on_joined(1, "worker_b", HostIdentity(name="box1", host_id="box1-1"))
    assert "steelyard worker --join-file /nowhere/worker.join --index 0 to 1" in said[0]
    assert "tcp://10.0.0.5:7000" in said[0]
    assert join.client_secret not in said[0]
    assert said[1] == "worker 1 joins from box1 (1 of 2)"
