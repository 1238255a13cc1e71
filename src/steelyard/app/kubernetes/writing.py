"""Writes the manifests of a run, and says what to do with them."""

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path

import msgspec

from steelyard import __version__
from steelyard.app.kubernetes.carrying import ARTIFACTS_DIR, carry, to_yaml
from steelyard.app.kubernetes.kuberay import kuberay_manifests
from steelyard.app.kubernetes.plain import plain_manifests
from steelyard.app.kubernetes.pods import (
    CONTROLLER,
    Manifest,
    Site,
    container,
    metadata,
    pod,
    resources,
)
from steelyard.app.profile import fit_workers
from steelyard.domain.bench.plan import Plan
from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import write_atomic

PLAIN, KUBERAY, READER = "plain.yaml", "kuberay.yaml", "artifacts.yaml"
_NAME_DIGITS = 8
_READER_S = 3_600


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        name: of the run in the cluster; the same plan has the same name.
        files: the manifests.
        steps: what to do next, lines for people.
    """

    name: str
    files: tuple[Path, ...]
    steps: str


def write_manifests(plan: Plan) -> Written:
    """Write the manifests of a plan of run type `k8s`; nothing is started.

    Raises:
        UsageError: the plan needs what no pod has, or the directory can't be written.
    """
    site = site_of(plan)
    if plan.kubernetes is None:
        raise UsageError("The plan makes no manifests", expected="--run-type k8s")
    directory = Path(plan.kubernetes.output)
    texts = {
        PLAIN: as_stream(plain_manifests(site)),
        KUBERAY: as_stream(kuberay_manifests(site)),
    }
    if plan.kubernetes.storage:
        texts[READER] = as_stream([reader(site)])
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_atomic(directory / name, text.encode())
    except OSError as error:
        raise UsageError(
            f"The manifests can't be written: {error.strerror or error}",
            got=str(directory),
            expected="a directory that can be made and written",
            next_step="Choose another with --k8s-output.",
        ) from error
    return Written(
        site.name, tuple(directory / name for name in texts), next_steps(site, directory)
    )


def site_of(plan: Plan) -> Site:
    """Return the run as a cluster sees it.

    Raises:
        UsageError: the plan needs what no pod has.
    """
    if plan.kubernetes is None:
        raise UsageError("The plan makes no manifests", expected="--run-type k8s")
    carried, workers = carry(plan), fit_workers(plan).workers
    options = msgspec.structs.replace(plan.kubernetes, output="")
    said = msgspec.msgpack.encode([__version__, options, workers, carried.files], order="sorted")
    name = f"steelyard-{hashlib.sha256(said).hexdigest()[:_NAME_DIGITS]}"
    return Site(name, plan.kubernetes, workers, carried)


def as_stream(manifests: list[Manifest]) -> str:
    """Return objects as the documents of one file of YAML."""
    return "---\n".join(to_yaml(manifest) for manifest in manifests)


def reader(site: Site) -> Manifest:
    """Return a pod that does nothing for an hour, so that the artifacts can be copied out of it."""
    box = container(site, "reader", artifacts=True, config=False)
    box |= {"command": ["sleep", str(_READER_S)]}
    box["resources"] = resources("10m", "64Mi")
    box["volumeMounts"] = [
        {**mount, "readOnly": True} if mount["name"] == "artifacts" else mount
        for mount in box["volumeMounts"]
    ]
    spec = pod(site, "reader", box)["spec"]
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata(site, "reader", "reader"),
        "spec": spec | {"activeDeadlineSeconds": _READER_S},
    }  # fmt: skip


def next_steps(site: Site, directory: Path) -> str:
    """Return the commands that run the manifests, and bring back what they leave."""
    space = f"--namespace {site.options.namespace}"
    blocks: list[tuple[str, list[str]]] = []
    if site.carried.variables:
        sources = [f'--from-file={name}=<(printf %s "${name}")' for name in site.carried.variables]
        make = f"kubectl create secret generic {site.secret} {space}"
        blocks.append((
            "Make the Secret that the plan's variables come from, out of this shell's (bash):",
            [" ".join([make, *sources])],
        ))  # fmt: skip
    plain, kuberay = (shlex.quote(str(directory / name)) for name in (PLAIN, KUBERAY))
    keys = f"steelyard worker secrets {site.name} {space} --workers {site.workers}"
    blocks.append((
        "Run it as plain Jobs; the keys of its workers are made on the way and kept nowhere here:",
        [
            f"{keys} | kubectl apply --server-side -f -",
            f"kubectl apply --server-side -f {plain}",
            f"kubectl logs {space} --follow job/{site.name}-{CONTROLLER}",
        ],
    ))  # fmt: skip
    blocks.append((
        "Or on a cluster of Ray, where the KubeRay operator is installed (v1.6 or later):",
        [
            f"kubectl apply --server-side -f {kuberay}",
            f"kubectl logs {space} --follow job/{site.name}",
        ],
    ))  # fmt: skip
    if site.options.storage:
        pod_name = f"{site.name}-reader"
        kept = shlex.quote(str(directory / READER))
        blocks.append((
            "When it is over, bring the artifacts here:",
            [
                f"kubectl apply -f {kept}",
                f"kubectl wait {space} --for=condition=Ready pod/{pod_name}",
                f"kubectl cp {site.options.namespace}/{pod_name}:{ARTIFACTS_DIR}/run run",
                f"kubectl delete -f {kept}",
            ],
        ))  # fmt: skip
    blocks.append((
        "Take all of it away again, the artifacts in the cluster too:",
        [
            f"kubectl delete -f {plain} --ignore-not-found",
            f"kubectl delete -f {kuberay} --ignore-not-found",
            f"kubectl delete secret {space} --selector steelyard-run={site.name}",
            *([f"kubectl delete secret {space} {site.secret}"] if site.carried.variables else []),
        ],
    ))  # fmt: skip
    return "\n\n".join(
        "\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in blocks
    )
