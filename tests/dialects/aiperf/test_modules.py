"""The modules that document 001 draws are where it draws them."""

import importlib
import pkgutil

import pytest

from steelyard.dialects import aiperf

TREE = {
    "common.bootstrap": "bootstrap_and_run_service",
    "common.comms.base": "Bus",
    "common.comms.client_enums": "ClientType",
    "common.comms.zmq": "ZmqBroker",
    "common.config.loader": "load_service_config",
    "common.config.service_config": "ServiceConfig",
    "common.enums": "ServiceType",
    "common.exceptions": "AIPerfError",
    "common.factories": "ServiceFactory",
    "common.hooks": "on_init",
    "common.models": "BasePayload",
    "common.service.base_component_service": "BaseComponentService",
    "common.service.base_controller_service": "BaseControllerService",
    "common.service.base_service": "BaseService",
    "common.service.base_service_interface": "BaseServiceInterface",
    "common.tokenizer": "create_tokenizer",
    "common.utils": "parse_duration_s",
    "services.dataset": "DatasetManager",
    "services.post_processor_manager": "PostProcessorManager",
    "services.records_manager": "RecordsManager",
    "services.service_manager": "ServiceManager",
    "services.system_controller": "SystemController",
    "services.timing_manager": "TimingManager",
    "services.worker": "Worker",
    "services.worker_manager": "WorkerManager",
}


@pytest.mark.parametrize(("module", "name"), TREE.items())
def test_every_module_of_the_guides_tree_has_its_thing(module, name):
    """Import path and name as the guide has them, below our root."""
    assert hasattr(importlib.import_module(f"steelyard.dialects.aiperf.{module}"), name)


def test_every_module_imports_and_exports_what_it_says():
    """No module of the dialect is broken, and `__all__` names nothing that isn't there."""
    found = list(pkgutil.walk_packages(aiperf.__path__, f"{aiperf.__name__}."))
    assert len(found) > len(TREE)
    for info in found:
        module = importlib.import_module(info.name)
        missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
        assert missing == [], info.name
