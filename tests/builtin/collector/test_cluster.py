"""Slurm's and Kubernetes' facts, from what they set and mount."""

import pytest

from steelyard.builtin.collector.cluster import KUBERNETES, RANKS, SLURM, ClusterCollector


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No cluster but the one that a test makes."""
    names = {"KUBERNETES_SERVICE_HOST", *SLURM.values(), *RANKS.values()}
    for name in names.union(*KUBERNETES.values()):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """What a pod sees: a service account, a volume of the downward API, variables."""
    account = tmp_path / "var/run/secrets/kubernetes.io/serviceaccount"
    account.mkdir(parents=True)
    (account / "namespace").write_text("vision")
    (account / "token").write_text("eyJsecret")
    info = tmp_path / "podinfo"
    data = info / "..2026_11_22"
    data.mkdir(parents=True)
    (data / "labels").write_text('app="train"\nteam="vision"\n')
    (data / "annotations").write_text('note="hush"\n')
    (data / "cpu_limit").write_text("4")
    for name in ("labels", "annotations", "cpu_limit"):
        (info / name).symlink_to(data / name)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HOSTNAME", "train-0")
    return ClusterCollector(podinfo=str(info), root=str(tmp_path))


def test_outside_of_a_cluster_there_are_no_facts(tmp_path):
    facts = ClusterCollector(podinfo=str(tmp_path / "none"), root=str(tmp_path)).facts()
    assert (facts.params, facts.tags) == ({}, {})


def test_a_slurm_job_is_told(monkeypatch, tmp_path):
    for name, value in {
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "gpu[01-02]", "SLURM_PROCID": "0",
        "SLURM_ARRAY_TASK_ID": "3", "SLURM_JWT": "secret", "RANK": "0", "WORLD_SIZE": "16",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    facts = ClusterCollector(root=str(tmp_path)).facts()
    assert facts.params == {
        "slurm": {"job_id": "4711", "nodes": "gpu[01-02]", "task": "0", "array_task_id": "3"},
        "distributed": {"rank": "0", "world_size": "16"},
    }
    assert facts.tags == {"slurm_job": "4711"}


def test_a_pod_is_told_and_its_token_is_not(pod):
    facts = pod.facts()
    assert facts.params["kubernetes"] == {
        "pod": "train-0", "namespace": "vision", "cpu_limit": "4",
        "labels.app": "train", "labels.team": "vision",
    }  # fmt: skip
    assert facts.tags == {"pod": "train-0"}
    assert "eyJsecret" not in repr(facts)
    assert "hush" not in repr(facts)


def test_variables_of_the_downward_api_come_first(pod, monkeypatch):
    monkeypatch.setenv("POD_NAME", "train-7")
    monkeypatch.setenv("NODE_NAME", "node-3")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "5")
    found = pod.facts().params["kubernetes"]
    assert (found["pod"], found["node"], found["job_index"]) == ("train-7", "node-3", "5")
