"""Starts one service in this process."""

from steelyard.dialects.aiperf.common.config.loader import load_service_config
from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig
from steelyard.runtime import bootstrap
from steelyard.runtime.service import Service

__all__ = ["bootstrap_and_run_service"]


def bootstrap_and_run_service(
    service_class: type[Service],
    service_config: ServiceConfig | None = None,
    service_id: str | None = None,
) -> None:
    """Run a service on uvloop until SIGINT, SIGTERM, a stop command or a failure.

    Without `service_config`, settings come from the environment. With a broker in them the
    controller there configures and starts the service; without, it is on its own and does both.

    Raises:
        BaseException: what made the service fail, after it has cleaned up.
    """
    config = service_config if service_config is not None else load_service_config()
    bootstrap.bootstrap_and_run_service(service_class, config.for_bootstrap(), service_id)
