"""Our own schedulers keep the contract that strangers must keep."""

import pytest

from steelyard.runtime.discovery import builtin_manifest
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.scheduler import SchedulerContract, SchedulerSubject

HOST = PluginHost.standard()
SPECS = {spec.name: spec for spec in builtin_manifest().specs if spec.kind == "scheduler"}


@pytest.mark.parametrize("name", SPECS)
class TestSchedulers(SchedulerContract):
    @pytest.fixture
    def subject(self, name):
        return SchedulerSubject(HOST.load("scheduler", name))


@pytest.mark.parametrize(
    "strategy", ["hardware_match", "priority_based", "deadline_driven", "performance_based"]
)
class TestCustomAsAnother(SchedulerContract):
    @pytest.fixture
    def subject(self, strategy):
        return SchedulerSubject(HOST.load("scheduler", "custom"), {"strategy": strategy})


class TestFairWithWeightsAndQuotas(SchedulerContract):
    @pytest.fixture
    def subject(self):
        options = {"user_weights": {"user0": 2}, "project_weights": {"project1": 0.5},
                   "max_consecutive_same_user": 0, "enable_priority_boost": False}  # fmt: skip
        return SchedulerSubject(HOST.load("scheduler", "fair_share"), options)


def test_each_of_the_nine_strategies_has_a_scheduler_of_its_own():
    assert list(SPECS) == [
        "round_robin", "priority_based", "hardware_match", "performance_based", "deadline_driven",
        "energy_efficient", "load_balanced", "fair_share", "custom",
    ]  # fmt: skip
    assert all(name in spec.metadata["strategies"] for name, spec in SPECS.items())


@pytest.mark.parametrize("name", SPECS)
def test_what_the_manifest_says_of_options_is_what_the_class_has(name):
    """Names and defaults are the same, and a host makes one without any option."""
    import inspect

    options = inspect.signature(HOST.load("scheduler", name)).parameters
    schema = SPECS[name].config_schema
    assert set(schema) <= set(options)
    for option, field in schema.items():
        assert field.get("default") == options[option].default
    assert HOST.create("scheduler", name).metrics()["strategy"] == name
