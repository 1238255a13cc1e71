"""Where in a cluster the script runs: its Slurm job, its Kubernetes pod, its rank."""

import os
from collections.abc import Mapping
from pathlib import Path

from steelyard.domain.track.ports import Noted

SLURM = {
    "job_id": "SLURM_JOB_ID", "job_name": "SLURM_JOB_NAME", "cluster": "SLURM_CLUSTER_NAME",
    "partition": "SLURM_JOB_PARTITION", "node": "SLURMD_NODENAME", "nodes": "SLURM_JOB_NODELIST",
    "node_count": "SLURM_JOB_NUM_NODES", "node_number": "SLURM_NODEID", "tasks": "SLURM_NTASKS",
    "task": "SLURM_PROCID", "local_task": "SLURM_LOCALID", "cpus_per_task": "SLURM_CPUS_PER_TASK",
    "gpus": "SLURM_GPUS", "gpus_on_node": "SLURM_GPUS_ON_NODE", "step_id": "SLURM_STEP_ID",
    "array_job_id": "SLURM_ARRAY_JOB_ID", "array_task_id": "SLURM_ARRAY_TASK_ID",
    "restarts": "SLURM_RESTART_COUNT",
}  # fmt: skip
"""Variables that Slurm sets in a job's environment (output environment variables of srun)."""

KUBERNETES = {
    "pod": ("POD_NAME", "MY_POD_NAME", "HOSTNAME"),
    "namespace": ("POD_NAMESPACE", "MY_POD_NAMESPACE"),
    "node": ("NODE_NAME", "MY_NODE_NAME"),
    "service_account": ("POD_SERVICE_ACCOUNT", "MY_POD_SERVICE_ACCOUNT"),
    "job": ("JOB_NAME",),
    "job_index": ("JOB_COMPLETION_INDEX",),
}
"""Variables by which pods are usually told who they are (the downward API), the first that is set.
`HOSTNAME` is the pod's name unless its specification says otherwise."""

RANKS = {"rank": "RANK", "local_rank": "LOCAL_RANK", "world_size": "WORLD_SIZE"}
"""Variables that launchers of distributed training set."""

_ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
_FILES_MAX = 32
_TEXT_MAX = 4096


class ClusterCollector:
    """Facts from the environment and from files that a cluster mounts; no program, no network.

    Args:
        podinfo: where a volume of the downward API is mounted; each file in it is a fact, `labels`
            one for each label. Annotations are not told.
        root: where `var/run` lies.
    """

    def __init__(self, *, podinfo: str = "/etc/podinfo", root: str = "/") -> None:
        self._podinfo = Path(podinfo)
        self._root = Path(root)

    def facts(self) -> Noted:
        """Return where this runs; nothing outside of a cluster."""
        found = {
            "slurm": _named(os.environ, SLURM) if "SLURM_JOB_ID" in os.environ else {},
            "kubernetes": self._kubernetes(os.environ),
            "distributed": _named(os.environ, RANKS),
        }
        params = {name: values for name, values in found.items() if values}
        tags = {
            "slurm_job": found["slurm"].get("job_id", ""),
            "pod": found["kubernetes"].get("pod", ""),
        }
        return Noted(params, {name: value for name, value in tags.items() if value})

    def _kubernetes(self, environ: Mapping[str, str]) -> dict[str, str]:
        if "KUBERNETES_SERVICE_HOST" not in environ:
            return {}
        found = {}
        for name, variables in KUBERNETES.items():
            value = next((environ[v] for v in variables if environ.get(v)), "")
            if value:
                found[name] = value
        # The same directory holds the pod's token: only this file of it is read.
        namespace = _text_of(self._root / _ACCOUNT / "namespace").strip()
        if namespace:
            found.setdefault("namespace", namespace)
        return {**self._downward(), **found}

    def _downward(self) -> dict[str, str]:
        """Return what the files of a downward API volume say."""
        try:
            files = sorted(p for p in self._podinfo.iterdir() if not p.name.startswith("."))
        except OSError:
            return {}
        found: dict[str, str] = {}
        for file in files[:_FILES_MAX]:
            text = _text_of(file).strip()
            if file.name == "labels":
                for line in text.splitlines()[:_FILES_MAX]:
                    key, _, value = line.partition("=")
                    found[f"labels.{key}"] = value.strip('"')
            elif file.name != "annotations" and text:
                found[file.name] = text
        return found


def _named(environ: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[variable] for name, variable in names.items() if environ.get(variable)}


def _text_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_TEXT_MAX)
    except OSError:
        return ""
