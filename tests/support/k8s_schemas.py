"""Checks manifests without an API server: Kubernetes' own schemas, and KubeRay's documented rules.

Schemas of Kubernetes come with the package kubernetes-validate. None is published for KubeRay that
could be installed: `RAY_JOB` states, of the fields we use, what KubeRay's schema is generated from
(ray-operator/apis/ray/v1/{rayjob,raycluster}_types.go at the revision that has networkPolicy and
tlsOptions), and `_operator_takes` those rules of its operator (controllers/ray/utils/validation.go)
that such a RayJob could break. A field that is not in there is refused, so a typing mistake is
found; a field that KubeRay may drop one day is not.
"""

import re
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

VERSIONS = ("1.29", "1.31", "1.34", "1.37")
NAME_MAX = 47
RAY_LEAST = (2, 52, 0)
RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
OPERATORS_OWN = {"RAY_REDIS_ADDRESS", "REDIS_USERNAME", "RAY_enable_autoscaler_v2"}
"""Variables of the head that ask for what a RayJob of ours has not."""


class WrongManifestError(Exception):
    """A manifest that would be refused, and why."""


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(required),
        "additionalProperties": False,
    }  # fmt: skip


_TEXT, _FLAG, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 0}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_POD = _object(("spec",), metadata={"type": "object"}, spec={"type": "object"})
_GROUP = {"rayStartParams": _TEXTS, "labels": _TEXTS, "resources": _TEXTS, "template": _POD}
_WORKERS = _object(
    ("groupName", "template", "minReplicas", "maxReplicas"),
    groupName=_TEXT, replicas=_COUNT, minReplicas=_COUNT, maxReplicas=_COUNT,
    numOfHosts=_COUNT, **_GROUP,
)  # fmt: skip
_AUTH = _object(mode={"enum": ["token", "disabled"]}, secretName=_TEXT)
"""Not enableK8sTokenAuth: a RayJob with it is refused."""
_CLUSTER = _object(
    ("headGroupSpec", "rayVersion"),
    rayVersion=_TEXT, authOptions=_AUTH, enableInTreeAutoscaling=_FLAG, suspend=_FLAG,
    headGroupSpec=_object(("template",), serviceType=_TEXT, **_GROUP),
    workerGroupSpecs={"type": "array", "items": _WORKERS},
)  # fmt: skip
_SPEC = _object(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=_TEXT, submissionMode={"enum": ["K8sJobMode", "HTTPMode", "SidecarMode"]},
    backoffLimit=_COUNT, submitterConfig=_object(backoffLimit=_COUNT),
    shutdownAfterJobFinishes=_FLAG, ttlSecondsAfterFinished=_COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    submitterPodTemplate=_POD, rayClusterSpec=_CLUSTER, runtimeEnvYAML=_TEXT, suspend=_FLAG,
)  # fmt: skip
RAY_JOB = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"},
    metadata=_object(("name",), name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS),
    spec=_SPEC,
)  # fmt: skip


def documents(text: str) -> list[dict[str, Any]]:
    """Return the objects of a file of manifests."""
    return list(yaml.safe_load_all(text))


def check(manifest: dict[str, Any], version: str) -> None:
    """Check one object against a version of Kubernetes, strictly: no unknown field, no wrong type.

    Raises:
        WrongManifestError: it would be refused.
    """
    if manifest["apiVersion"] == "ray.io/v1":
        _check_ray_job(manifest, version)
        return
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise WrongManifestError(f"{manifest['kind']}: {error.message}") from None


def templates(ray_job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pod templates of a RayJob."""
    cluster = ray_job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [ray_job["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


def _check_ray_job(manifest: dict[str, Any], version: str) -> None:
    try:
        jsonschema.validate(manifest, RAY_JOB)
    except jsonschema.ValidationError as error:
        raise WrongManifestError(f"RayJob: {error.message}") from None
    for template in templates(manifest):
        metadata = {"name": "pod", **template.get("metadata", {})}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        check(pod, version)
    _operator_takes(manifest)


def _operator_takes(manifest: dict[str, Any]) -> None:
    """Refuse what passes the schema, and is refused by the operator when it looks at it."""
    name = manifest["metadata"]["name"]
    if len(name) > NAME_MAX or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        raise WrongManifestError(f"RayJob: {name} is no name for one")
    spec = manifest["spec"]
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        raise WrongManifestError("RayJob: a time to live, and no end of the cluster")
    cluster = spec["rayClusterSpec"]
    ray = tuple(int(part) for part in cluster["rayVersion"].split("."))
    if cluster.get("authOptions", {}).get("mode") == "token" and ray < RAY_LEAST:
        raise WrongManifestError(f"RayJob: Ray {cluster['rayVersion']} has no tokens")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        parameters = group.get("rayStartParams", {})
        if "labels" in parameters:
            raise WrongManifestError("RayJob: labels stand beside rayStartParams")
        if group.get("resources") and RESOURCES & set(parameters):
            raise WrongManifestError("RayJob: resources are stated twice")
        containers = group["template"]["spec"].get("containers")
        if not containers:
            raise WrongManifestError("RayJob: a group without a container")
        if OPERATORS_OWN & {variable["name"] for variable in containers[0].get("env", ())}:
            raise WrongManifestError("RayJob: a variable that the operator sets")
    for group in cluster["workerGroupSpecs"]:
        if group["minReplicas"] > group["maxReplicas"]:
            raise WrongManifestError("RayJob: more replicas at least than at most")
