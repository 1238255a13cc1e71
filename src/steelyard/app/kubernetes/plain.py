"""A run as plain Jobs: a controller, and an indexed Job of workers that join it over tcp.

Both begin at once, so names and keys are made before: `run_secrets` makes them, in two Secrets, as
the workers must not have the controller's own key. A worker that fails is not begun again in its
place, and takes no other worker with it (`backoffLimitPerIndex`, Kubernetes 1.29 and later).
"""

import base64

from steelyard import __version__
from steelyard.app.kubernetes.pods import (
    CONTROLLER,
    JOIN_WITHIN_S,
    WORKER,
    Manifest,
    Site,
    claim,
    config_map,
    container,
    metadata,
    network_policy,
    pod,
    profile_words,
    secret_variable,
    selector,
    variables,
)
from steelyard.runtime.join import JOIN_VARIABLE, prepare

BUS_PORT = 7461
_KEY = "join"


def plain_manifests(site: Site) -> list[Manifest]:
    """Return all objects but the Secrets, in the order in which they are to be made."""
    bus = {
        "from": [{"podSelector": selector(site, WORKER)}],
        "ports": [{"protocol": "TCP", "port": BUS_PORT}],
    }
    return [
        config_map(site),
        *claim(site),
        network_policy(site, CONTROLLER, [bus]),
        network_policy(site, WORKER, []),
        _service(site),
        _controller(site),
        _workers(site),
    ]


def join_secret(name: str, component: str) -> str:
    """Return the name of the Secret with the join of a component."""
    return f"{name}-{component}-join"


def address_of(name: str, namespace: str) -> str:
    """Return where the workers of a run reach its controller, by the run's Service."""
    return f"tcp://{name}.{namespace}.svc:{BUS_PORT}"


def run_secrets(
    name: str, namespace: str, workers: int, addresses: tuple[str, ...] = ()
) -> list[Manifest]:
    """Return two new Secrets with the keys of a run: the controller's and the workers'.

    Args:
        name: of the run in the cluster.
        namespace: of its objects.
        workers: their number, as in the manifests.
        addresses: by which workers reach the controller; the Service's without any.
    """
    addresses = addresses or (address_of(name, namespace),)
    join = prepare(name, addresses, workers, __version__)
    texts = {CONTROLLER: join.encode(), WORKER: join.for_workers().encode()}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": join_secret(name, component), "namespace": namespace,
                "labels": {"app.kubernetes.io/name": "steelyard", "steelyard-run": name},
            },
            "type": "Opaque",
            "data": {_KEY: base64.b64encode(text.encode()).decode()},
        }
        for component, text in texts.items()
    ]  # fmt: skip


def _service(site: Site) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(site),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(site, CONTROLLER)["matchLabels"],
            "ports": [
                {"name": "bus", "protocol": "TCP", "port": BUS_PORT, "targetPort": BUS_PORT}
            ],
        },
    }  # fmt: skip


def _controller(site: Site) -> Manifest:
    args = profile_words(
        "remote", "--listen", f"0.0.0.0:{BUS_PORT}", "--join-file", "/tmp/worker.join",  # noqa: S108  of a container
    )  # fmt: skip
    env = [
        secret_variable(JOIN_VARIABLE, join_secret(site.name, CONTROLLER), _KEY),
        *variables(site, site.carried.variables),
    ]
    made = container(site, CONTROLLER, args=args, env=env, artifacts=True)
    made["ports"] = [{"name": "bus", "containerPort": BUS_PORT}]
    return _job(site, CONTROLLER, pod(site, CONTROLLER, made), {"backoffLimit": 0})


def _workers(site: Site) -> Manifest:
    args = ("worker", "--wait", str(JOIN_WITHIN_S))
    env = [secret_variable(JOIN_VARIABLE, join_secret(site.name, WORKER), _KEY)]
    made = container(site, WORKER, args=args, env=env)
    indexed = {
        "completionMode": "Indexed", "completions": site.workers, "parallelism": site.workers,
        "backoffLimitPerIndex": 0,
    }  # fmt: skip
    return _job(site, WORKER, pod(site, WORKER, made), indexed)


def _job(site: Site, component: str, template: Manifest, more: Manifest) -> Manifest:
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": metadata(site, component, component),
        "spec": {**more, "ttlSecondsAfterFinished": site.options.ttl_s, "template": template},
    }  # fmt: skip
