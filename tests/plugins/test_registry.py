"""A name belongs to whoever claimed it first; unknown names are told with what is there."""

import pytest

from steelyard.kernel.errors import PluginError
from steelyard.plugins.manifest import Problem
from steelyard.plugins.registry import Registry
from steelyard.plugins.spec import PluginSpec


def spec(kind, name, **facts):
    return PluginSpec(kind=kind, name=name, target="a:B", **facts)


@pytest.fixture
def registry():
    found = Registry()
    found.add_all([
        spec("exporter", "json"),
        spec("endpoint", "chat", priority=50, origin="builtin"),
        spec("endpoint", "echo", priority=10),
    ])  # fmt: skip
    return found


def test_specs_come_by_kind_then_priority(registry):
    assert [s.name for s in registry] == ["echo", "chat", "json"]
    assert [s.name for s in registry.specs("endpoints")] == ["echo", "chat"]


def test_a_second_claimant_is_refused_and_told(registry):
    assert registry.add(spec("endpoint", "chat", origin="directory d")) is False
    assert registry.get("endpoint", "chat").origin == "builtin"
    (problem,) = registry.problems
    assert problem.origin == "directory d"
    assert problem.message == "the name endpoint 'chat' is taken by builtin"


def test_an_unknown_name_lists_what_is_installed(registry):
    with pytest.raises(PluginError) as caught:
        registry.get("endpoint", "chta")
    assert str(caught.value) == (
        "Unknown endpoint 'chta'; expected one installed: echo, chat. "
        "Did you mean 'chat'? See: steelyard plugins --kind endpoint"
    )
    assert caught.value.exit_code == 3


def test_an_unknown_kind_is_an_error_of_its_own(registry):
    with pytest.raises(PluginError, match="Did you mean 'endpoint'"):
        registry.get("endpiont", "chat")


def test_a_refused_plugin_says_why_when_it_is_asked_for(registry):
    registry.problems.append(
        Problem(kind="endpoint", name="sick", origin="o", message="has no class")
    )
    with pytest.raises(PluginError, match="endpoint 'sick' can't be used: has no class"):
        registry.get("endpoint", "sick")
