"""How a coordinator becomes a driver of a Ray cluster: authenticated, or not at all."""

import importlib
import logging
import os
import socket
import sys

from steelyard.kernel.errors import EndpointUnreachableError, SteelyardError
from steelyard.runtime.fleet.ray_cluster import INSTALL, NAMESPACE

_CONNECT_WITHIN_S = 5.0


def secure(variables: dict[str, str]) -> None:
    """Have this process's Ray authenticate; it reads its environment once, when it is loaded."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    if "ray" not in sys.modules or before == variables:
        return
    try:
        # What `ray.init` does when it switches authentication on; there is no public way.
        core = importlib.import_module("ray._raylet")
        core.Config.initialize("")
        core.AuthenticationTokenLoader.instance().reset_cache()
    except (ImportError, AttributeError):
        raise SteelyardError(
            "Ray was loaded before the fleet could have it authenticate",
            next_step="Set these before: "
            + ", ".join(f"{name}={value}" for name, value in variables.items()),
        ) from None


def connect(address: str) -> bool:
    """Be a driver of the cluster; return False when this process was one already.

    Raises:
        EndpointUnreachableError: nobody listens there, or not to this token.
        SteelyardError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SteelyardError("Ray is not installed", next_step=INSTALL) from None
    if ray.is_initialized():
        return False
    _knock(address)
    # It warns that a thread is not the main one: signals are not Ray's to handle here.
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
    try:
        ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False,
            logging_level=logging.WARNING,
        )  # fmt: skip
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        raise EndpointUnreachableError(
            "The Ray cluster does not take this coordinator in",
            got=f"{address}: {first_line(error)}",
            next_step="Check that the token is the head's, and that this machine has a node.",
        ) from None
    return True


def _knock(address: str) -> None:
    """Find out soon whether anybody listens; Ray itself tries for a minute and more."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise EndpointUnreachableError(
            "The Ray engine needs the address of a cluster",
            got=address or "none",
            expected="host:port of its head, such as 10.0.0.1:6379",
            next_step="Start a head with: steelyard fleet join",
        )
    try:
        socket.create_connection((host, int(port)), _CONNECT_WITHIN_S).close()
    except OSError as error:
        raise EndpointUnreachableError(
            "Nobody listens where the Ray cluster's head should be",
            got=f"{address}: {(error.strerror or str(error)).lower()}",
            next_step="Start a head with: steelyard fleet join",
        ) from None


def first_line(error: BaseException) -> str:
    """Return what an error says, without what Ray adds below."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
