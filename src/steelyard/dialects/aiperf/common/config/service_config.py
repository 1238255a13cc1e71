"""How a service runs: the core's settings under the names of the developers' guide."""

from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr

from steelyard.dialects.aiperf.common.enums import ServiceRunType
from steelyard.dialects.aiperf.common.models import BaseConfig
from steelyard.runtime import bootstrap
from steelyard.runtime.bus import InlineHub
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.service import CONTROLLER_TYPE, ServiceContext


class ServiceConfig(BaseConfig):
    """Settings of a service; every one has a default."""

    service_run_type: ServiceRunType = Field(
        default=ServiceRunType.MULTIPROCESSING, description="How the roles of a run are spread"
    )
    log_level: str = Field(default="INFO", description="The least severe level that is logged")
    artifact_dir: Path | None = Field(default=None, description="Where it logs; None for nowhere")
    broker: str = Field(default="", description="Address of a running bus; empty: on its own")
    controller_id: str = Field(
        default=CONTROLLER_TYPE, description="Who gets heartbeats and status at that bus"
    )
    bus_keys: str = Field(default="", repr=False, description="Keys of that bus, needed for tcp")
    options: dict[str, Any] = Field(default_factory=dict, description="The service's own options")

    _context: ServiceContext | None = PrivateAttr(default=None)

    @classmethod
    def of_run(cls, context: ServiceContext) -> Self:
        """Return the settings of a service inside a run, where the run decides."""
        config = cls(artifact_dir=context.run_dir, options=context.options)
        config._context = context
        return config

    def context_of(self, service_id: str, service_type: str) -> ServiceContext:
        """Return what the core's `Service` is given; outside a run, a bus of its own."""
        if self._context is not None:
            return self._context
        return ServiceContext(
            service_id=service_id,
            bus=InlineHub().connect(service_id, service_type),
            clock=SystemClock(),
            options=self.options,
            run_dir=self.artifact_dir,
        )

    def for_bootstrap(self) -> bootstrap.ServiceConfig:
        """Return the settings as the core's bootstrap takes them."""
        return bootstrap.ServiceConfig(
            broker=self.broker,
            controller_id=self.controller_id,
            keys=self.bus_keys,
            artifact_dir=str(self.artifact_dir or ""),
            log_level=self.log_level,
            options=self.options,
        )
