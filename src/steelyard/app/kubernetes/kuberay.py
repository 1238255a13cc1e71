"""A run as a RayJob: KubeRay makes a cluster of Ray, and `profile --run-type ray` runs on its head.

Field names and rules are those of KubeRay's API ray.io/v1 (v1.5 and later): token authentication
needs `rayVersion`, and a group without an autoscaler states its least and most replicas.
"""

import msgspec

from steelyard.app.kubernetes.pods import (
    CONTROLLER,
    WORKER,
    Manifest,
    Site,
    claim,
    config_map,
    container,
    metadata,
    network_policy,
    plain_variables,
    pod,
    profile_words,
    resources,
    selector,
    variables,
)
from steelyard.runtime.fleet.ray_cluster import NODE_VARIABLE, NodeSettings, failure_detection

GROUP = "workers"
DASHBOARD_PORT = 8265

_OBJECTS, _OBJECTS_BYTES = "object-store-memory", "100000000"
"""Nothing is kept there; Ray's own choice would be a third of the memory."""

_NODE_DIR = "/tmp/steelyard"  # noqa: S108  of a container
_GROUP_VARIABLE = "RAY_NODE_TYPE_NAME"
_NO_USAGE_SENT = {"RAY_USAGE_STATS_ENABLED": "0"}
_PORTS = {"gcs-server": 6379, "dashboard": DASHBOARD_PORT, "client": 10001}
_OPERATOR = {"app.kubernetes.io/component": "kuberay-operator"}


def kuberay_manifests(site: Site) -> list[Manifest]:
    """Return all objects, in the order in which they are to be made."""
    return [config_map(site), *claim(site), _policy(site), _ray_job(site)]


def _policy(site: Site) -> Manifest:
    """Let the run's pods reach each other, and the operator the dashboard."""
    operator = {
        "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": _OPERATOR}}],
        "ports": [{"protocol": "TCP", "port": DASHBOARD_PORT}],
    }
    inside: Manifest = {"from": [{"podSelector": selector(site)}]}
    return network_policy(site, "", [inside, operator], suffix="ray")


def _ray_job(site: Site) -> Manifest:
    submitter = container(site, "ray-job-submitter", config=False)
    submitter["resources"] = resources("100m", "512Mi")
    words = profile_words("ray", "--engine-option", f"group={GROUP}")
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(site),
        "spec": {
            "entrypoint": " ".join(("steelyard", *words)),
            "submissionMode": "K8sJobMode",
            # A run that failed is looked at, not run again.
            "backoffLimit": 0,
            "submitterConfig": {"backoffLimit": 0},
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": site.options.ttl_s,
            "submitterPodTemplate": pod(site, "submitter", submitter),
            "rayClusterSpec": {
                "rayVersion": site.options.ray_version,
                "authOptions": {"mode": "token"},
                "enableInTreeAutoscaling": False,
                "headGroupSpec": _head(site),
                "workerGroupSpecs": [_workers(site)],
            },
        },
    }


def _head(site: Site) -> Manifest:
    env = plain_variables({**_NO_USAGE_SENT, **failure_detection()})
    env += variables(site, site.carried.variables)
    head = container(site, "ray-head", env=env, artifacts=True)
    head["ports"] = [
        {"name": name, "containerPort": port} for name, port in _PORTS.items()
    ]  # fmt: skip
    return {
        # No work of Ray's own on the head: the run's roles have it for themselves.
        "rayStartParams": {
            "dashboard-host": "0.0.0.0",  # noqa: S104  of a pod
            "num-cpus": "0",
            _OBJECTS: _OBJECTS_BYTES,
        },
        "template": pod(site, CONTROLLER, head),
    }


def _workers(site: Site) -> Manifest:
    settings = NodeSettings(directory=_NODE_DIR, slots=1, detect=False)
    env = {
        **_NO_USAGE_SENT,
        _GROUP_VARIABLE: GROUP,
        NODE_VARIABLE: msgspec.json.encode(settings).decode(),
    }
    worker = container(site, "ray-worker", env=plain_variables(env))
    return {
        "groupName": GROUP,
        "replicas": site.workers,
        "minReplicas": site.workers,
        "maxReplicas": site.workers,
        "rayStartParams": {_OBJECTS: _OBJECTS_BYTES},
        "template": pod(site, WORKER, worker),
    }
