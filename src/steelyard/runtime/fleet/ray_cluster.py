"""What Ray must be told for a fleet to use its cluster: who may speak, and when a node is dead.

Nothing here imports Ray. Its processes read these settings from their environment, as they start.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from steelyard.kernel.errors import SteelyardError, UsageError

WORKER_LABEL = "steelyard-worker"
"""The label of a node by which it is a worker; its value is the worker's id."""

NODE_VARIABLE = "STEELYARD_FLEET_NODE"
"""In the environment of a node, how it works: a `NodeSettings` as JSON."""

NAMESPACE = "steelyard-fleet"
DEATH_WITHIN_S = 5.0
INSTALL = 'Install it: pip install "steelyard[ray]"'
AUTH_MODE = "RAY_AUTH_MODE"
_MODES = {"token", "k8s"}
_TOKEN, _TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_CHECKS = 5


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the worker of a node works; what the node's own user says, not the coordinator.

    Attributes:
        directory: of the node's files; attempts have theirs below it.
        slots: attempts at once, 0 for one a core.
        labels: of the worker, beside those that are detected.
        environment: names of variables that attempts get beside the usual harmless ones.
        detect: look for runtimes, browsers and devices.
        plugin_dirs: where the node finds further kinds of tasks.
    """

    directory: str = "~/.steelyard/fleet-node"
    slots: int = 0
    labels: dict[str, str] = {}
    environment: tuple[str, ...] = ()
    detect: bool = True
    plugin_dirs: tuple[str, ...] = ()


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates for Ray's connections, as paths: its own, the key of that, the authority's.

    Ray checks both sides: each process of a cluster needs all three, signed by one authority.
    """

    certificate: str
    key: str
    authority: str


def token_file(path: str = "", environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the cluster's token lies: what is named, or what Ray itself would take."""
    named = path or environ.get(_TOKEN_PATH, "") or "~/.ray/auth_token"
    return Path(named).expanduser()


def security(
    token_path: str = "", tls: Tls | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the variables with which a process of Ray authenticates; the token is always on.

    The token itself is in none of them but `RAY_AUTH_TOKEN`, where the user has put it there.

    Raises:
        UsageError: authentication is switched off, there is no token, or a certificate is missing.
    """
    mode = environ.get(AUTH_MODE, "token").lower()
    if mode not in _MODES:
        raise UsageError(
            "A fleet's Ray cluster must authenticate",
            got=f"{AUTH_MODE}={mode}",
            expected=f"{AUTH_MODE}=token, or none: then the fleet sets it",
        )
    found = {AUTH_MODE: mode}
    if mode == "token" and (token_path or not environ.get(_TOKEN)):
        path = token_file(token_path, environ)
        if not path.is_file():
            raise UsageError(
                "There is no token for the Ray cluster",
                got=str(path),
                expected="the file that the head node's token is in",
                next_step="Copy it from the head; a new head makes one.",
            )
        found[_TOKEN_PATH] = str(path)
    return found | _tls(tls)


def _tls(tls: Tls | None) -> dict[str, str]:
    if tls is None:
        return {}
    for path in (tls.certificate, tls.key, tls.authority):
        if not Path(path).is_file():
            raise UsageError("A certificate for Ray is missing", got=path, expected="a PEM file")
    return {
        "RAY_USE_TLS": "1", "RAY_TLS_SERVER_CERT": tls.certificate,
        "RAY_TLS_SERVER_KEY": tls.key, "RAY_TLS_CA_CERT": tls.authority,
    }  # fmt: skip


def failure_detection(within_s: float = DEATH_WITHIN_S) -> dict[str, str]:
    """Return the variables with which a head takes a silent node for dead in about this time.

    Ray's own settings make it 15 s and more. A head reads them when it starts, nobody later.

    Raises:
        UsageError: less than a second, in which a busy machine is easily silent.
    """
    if within_s < 1:
        raise UsageError("A node can't be dead so soon", got=within_s, expected="1 s or more")
    each_ms = str(int(within_s * 1000 / _CHECKS))
    return {
        "RAY_health_check_initial_delay_ms": "1000",
        "RAY_health_check_period_ms": each_ms,
        "RAY_health_check_timeout_ms": each_ms,
        "RAY_health_check_failure_threshold": str(_CHECKS),
    }


def is_secured(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell, on a node, whether Ray's processes there authenticate."""
    return environ.get(AUTH_MODE, "").lower() in _MODES


def node_settings(environ: Mapping[str, str] = os.environ) -> NodeSettings:
    """Return, on a node, what its user said of it when it joined.

    Raises:
        SteelyardError: it can't be read.
    """
    text = environ.get(NODE_VARIABLE, "{}")
    try:
        return msgspec.json.decode(text, type=NodeSettings)
    except msgspec.MsgspecError as error:
        raise SteelyardError(f"{NODE_VARIABLE} can't be read: {error}") from None
