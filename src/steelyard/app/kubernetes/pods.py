"""What all manifests of a run are made of: names, labels, pods that may do nothing but their work.

Field names and their meaning are those of the Kubernetes API reference, v1.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.app.kubernetes.carrying import ARTIFACTS_DIR, CONFIG_DIR, PLAN_FILE, Carried
from steelyard.domain.bench.plan import KubernetesPlan

HOME = "/home/steelyard"
USER_ID = 10_001
"""The user of the image, see the Dockerfile."""

CONTROLLER, WORKER = "controller", "worker"
JOIN_WITHIN_S = 900
"""How long images may be pulled and nodes be found before the run gives up."""

_TMP_LIMIT = "2Gi"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """A run in a cluster.

    Attributes:
        name: of the run there; names of objects begin with it.
        options: what the user said.
        workers: how many.
        carried: what the run is given.
    """

    name: str
    options: KubernetesPlan
    workers: int
    carried: Carried

    @property
    def secret(self) -> str:
        """The Secret with the environment variables that the plan names."""
        return f"{self.name}-env"

    @property
    def claim(self) -> str:
        """The volume claim of the artifacts."""
        return f"{self.name}-artifacts"


def labels(site: Site, component: str = "") -> dict[str, str]:
    """Return the labels of an object: the usual ones, the user's, and those of our selectors."""
    usual = {"app.kubernetes.io/name": "steelyard", "app.kubernetes.io/instance": site.name}
    return {**usual, **site.options.labels, **_selected(site, component)}


def selector(site: Site, component: str = "") -> dict[str, Any]:
    """Return what selects the pods of a component, or all of the run."""
    return {"matchLabels": _selected(site, component)}


def _selected(site: Site, component: str) -> dict[str, str]:
    """Return labels of our own: an operator may set the usual ones to its name."""
    found = {"steelyard-run": site.name}
    return {**found, "steelyard-role": component} if component else found


def metadata(site: Site, suffix: str = "", component: str = "") -> Manifest:
    """Return the metadata of an object."""
    name = f"{site.name}-{suffix}" if suffix else site.name
    return {
        "name": name, "namespace": site.options.namespace, "labels": labels(site, component),
    }  # fmt: skip


def config_map(site: Site) -> Manifest:
    """Return the plan and its files; keys are numbered, as they can't have slashes."""
    texts: dict[str, str] = {}
    binaries: dict[str, str] = {}
    for key, (_, data) in zip(_keys(site), site.carried.files.items(), strict=True):
        try:
            texts[key] = data.decode("utf-8")
        except UnicodeDecodeError:
            binaries[key] = base64.b64encode(data).decode()
    made: Manifest = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(site, "plan"),
        "immutable": True, "data": texts,
    }  # fmt: skip
    return made | ({"binaryData": binaries} if binaries else {})


def claim(site: Site) -> list[Manifest]:
    """Return the volume claim of the artifacts, none where they are not kept."""
    options = site.options
    if not options.storage:
        return []
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": options.storage}},
    }
    if options.storage_class:
        spec["storageClassName"] = options.storage_class
    return [{
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": metadata(site, "artifacts"), "spec": spec,
    }]  # fmt: skip


def network_policy(
    site: Site, component: str, ingress: list[Manifest], suffix: str = ""
) -> Manifest:
    """Return who may reach the pods of a component; nobody else may, where policies are kept."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": metadata(site, suffix or component, component),
        "spec": {
            "podSelector": selector(site, component), "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }  # fmt: skip


def pod(site: Site, component: str, made: Manifest) -> Manifest:
    """Return a pod template with one container, as `container` makes it, and what that mounts."""
    options = site.options
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER_ID, "runAsGroup": USER_ID,
            "fsGroup": USER_ID, "seccompProfile": {"type": "RuntimeDefault"},
        },
    }  # fmt: skip
    if options.node_selector:
        spec["nodeSelector"] = dict(options.node_selector)
    if options.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": options.image_pull_secret}]
    if component == WORKER:
        spec["topologySpreadConstraints"] = [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector(site, WORKER),
        }]  # fmt: skip
    spec["containers"] = [made]
    mounted = {mount["name"] for mount in made["volumeMounts"]}
    spec["volumes"] = [volume for volume in _volumes(site) if volume["name"] in mounted]
    return {
        "metadata": {
            "labels": labels(site, component),
            # A worker that is moved in the middle of a run is a worker that is lost.
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        },
        "spec": spec,
    }


def container(
    site: Site,
    name: str,
    *,
    args: tuple[str, ...] = (),
    env: list[Manifest] | None = None,
    artifacts: bool = False,
    config: bool = True,
) -> Manifest:
    """Return a container of the run's image."""
    made: Manifest = {"name": name, "image": site.options.image, "imagePullPolicy": "IfNotPresent"}
    if args:
        made["args"] = list(args)
    made["workingDir"] = HOME
    made["env"] = [*plain_variables({"HOME": HOME}), *(env or [])]
    made["resources"] = resources(site.options.cpu, site.options.memory)
    made["securityContext"] = {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    mounts: list[Manifest] = [
        {"name": "home", "mountPath": HOME},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  of a container
    ]
    if config:
        mounts.append({"name": "plan", "mountPath": CONFIG_DIR, "readOnly": True})
    if artifacts:
        mounts.append({"name": "artifacts", "mountPath": ARTIFACTS_DIR})
    made["volumeMounts"] = mounts
    return made


def resources(cpu: str, memory: str) -> Manifest:
    """Return what a container asks for.

    It has no limit of the processor: one that is held back measures itself.
    """
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def profile_words(run_type: str, *more: str) -> tuple[str, ...]:
    """Return the words behind `steelyard` that run the carried plan as a run of this type."""
    return (
        "profile", "--config", f"{CONFIG_DIR}/{PLAN_FILE}", "--run-type", run_type, *more,
        "--join-timeout", str(JOIN_WITHIN_S),
    )  # fmt: skip


def plain_variables(values: Mapping[str, str]) -> list[Manifest]:
    """Return environment variables that anybody may read."""
    return [{"name": name, "value": value} for name, value in values.items()]


def variables(site: Site, names: tuple[str, ...]) -> list[Manifest]:
    """Return environment variables whose values are in the run's Secret."""
    return [secret_variable(name, site.secret, name) for name in names]


def secret_variable(name: str, secret: str, key: str) -> Manifest:
    """Return an environment variable whose value is in a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def field_variable(name: str, path: str) -> Manifest:
    """Return an environment variable whose value is a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _keys(site: Site) -> list[str]:
    names = [re.sub(r"[^-._A-Za-z0-9]", "_", name) for name in site.carried.files]
    return [names[0], *(f"{number:04d}-{name}"[:253] for number, name in enumerate(names[1:], 1))]


def _volumes(site: Site) -> list[Manifest]:
    items = [
        {"key": key, "path": path}
        for key, path in zip(_keys(site), site.carried.files, strict=True)
    ]  # fmt: skip
    kept = {"persistentVolumeClaim": {"claimName": site.claim}}
    return [
        {"name": "plan", "configMap": {"name": f"{site.name}-plan", "items": items}},
        {"name": "home", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {"sizeLimit": _TMP_LIMIT}},
        {"name": "artifacts", **(kept if site.options.storage else {"emptyDir": {}})},
    ]
