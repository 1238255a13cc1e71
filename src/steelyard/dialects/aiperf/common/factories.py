"""Finds service classes by role; the registry of plugins is where they are kept."""

import logging
from collections.abc import Callable
from typing import TypeVar

from steelyard.app.composition import standard_host
from steelyard.dialects.aiperf.common.config.service_config import ServiceConfig
from steelyard.runtime.service import Service

__all__ = ["ServiceFactory"]

_log = logging.getLogger(__name__)

_C = TypeVar("_C", bound=type[Service])


class ServiceFactory:
    """The services of this process, by role."""

    @staticmethod
    def register(
        service_type: str, *, required: bool = True, auto_start: bool = True
    ) -> Callable[[_C], _C]:
        """Return a decorator that makes a class the service of a role, from the next run on.

        Args:
            service_type: a `ServiceType`, or any text for a role of one's own. The class replaces
                whoever has that role; it keeps the place in the order and the facts of that one.
            required: a run ends when this role dies.
            auto_start: a run starts it without being asked to.
        """

        def decorate(cls: _C) -> _C:
            host = standard_host()
            name = str(service_type)
            facts: dict[str, object] = {"required": required, "auto_start": auto_start}
            if ("service", name) in host.registry:
                former = host.spec("service", name)
                facts = {**former.metadata, "priority": former.priority}
                host.unregister("service", name)
                _log.info("service %s: %s replaces %s", name, cls.__qualname__, former.target)
            host.register("service", name, cls, description=(cls.__doc__ or "").strip(), **facts)
            return cls

        return decorate

    @staticmethod
    def get_class(service_type: str) -> type[Service]:
        """Return the class of a role.

        Raises:
            PluginError: nobody has that role, or its class can't be loaded.
        """
        cls: type[Service] = standard_host().load("service", str(service_type))
        return cls

    @staticmethod
    def create_instance(
        service_type: str, service_config: ServiceConfig, service_id: str | None = None
    ) -> Service:
        """Return a new service of a role, on its own bus unless its config says otherwise.

        Raises:
            PluginError: nobody has that role, or its class can't be loaded.
        """
        cls = ServiceFactory.get_class(service_type)
        name = service_id or str(service_type)
        return cls.build(service_config.context_of(name, str(service_type)))
