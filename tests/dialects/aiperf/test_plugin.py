"""The registry of plugins under the names of documents 000 and 002."""

import subprocess
import sys

import pytest

from steelyard.builtin.endpoint.chat import ChatEndpoint
from steelyard.dialects.aiperf.plugin import plugin_registry, plugins
from steelyard.dialects.aiperf.plugin.enums import PluginType
from steelyard.kernel.errors import ConfigError, PluginError
from steelyard.plugins.spec import KINDS
from steelyard.testing.plugins import mock_plugin


class MockClass:
    """Stands for an endpoint."""


def test_the_types_are_the_kinds_of_the_core():
    """No kind is missing from the enumeration, and none is added."""
    assert tuple(PluginType) == KINDS
    assert PluginType("telemetry_collector") is PluginType.GPU_TELEMETRY_COLLECTOR


@pytest.mark.parametrize("category", ["phase_hook", "phase_hooks", PluginType.PHASE_HOOK])
def test_implementations_are_listed_by_category(category):
    """Singular, plural and member name the same category; our own logging hook is in it."""
    assert "logging" in plugin_registry.list_implementations(category)


def test_an_unknown_category_is_an_error_with_a_suggestion():
    """A typo doesn't come back as an empty list."""
    with pytest.raises(PluginError, match="Did you mean 'phase_hook'"):
        plugin_registry.list_implementations("phase_hok")


def test_an_instance_is_made_with_its_configuration():
    """Keywords reach the constructor, checked against the declared schema."""

    class Hook:
        def __init__(self, log_file, verbose=False):
            self.told = (log_file, verbose)

        async def on_phase_start(self, phase, tracker):
            """Told."""

    schema = {"log_file": {"type": "string"}, "verbose": {"type": "boolean"}}
    with mock_plugin(PluginType.PHASE_HOOK, "mine", Hook, config_schema=schema):
        hook = plugin_registry.create_instance("phase_hook", "mine", log_file="x", verbose=True)
        assert hook.told == ("x", True)
        with pytest.raises(ConfigError, match="Did you mean 'log_file'"):
            plugin_registry.create_instance("phase_hook", "mine", logfile="x")


def test_a_class_is_found_by_type_and_name():
    """`get_class` gives the battery itself."""
    assert plugins.get_class(PluginType.ENDPOINT, "chat") is ChatEndpoint


def test_an_endpoints_metadata_is_read_from_the_manifest():
    """Path and abilities are known without importing the endpoint."""
    facts = plugins.get_metadata(PluginType.ENDPOINT, "chat")
    assert facts["endpoint_path"] == "/v1/chat/completions"
    assert facts["supports_streaming"] is True
    assert facts["produces_tokens"] is True
    assert facts["tokenizes_input"] is True
    assert facts["supports_audio"] is True
    assert facts["supports_images"] is True
    assert facts["supports_videos"] is True
    assert facts["metrics_title"] == "LLM Metrics"


def test_with_mock_plugin():
    """The example of document 002: the mock is there inside the block and gone after it."""
    with mock_plugin(PluginType.ENDPOINT, "test", MockClass):
        assert plugins.get_class(PluginType.ENDPOINT, "test") == MockClass
    assert "test" not in plugins.list_names(PluginType.ENDPOINT)


def test_a_mock_gives_a_taken_name_back():
    """Mocking `chat` hides the battery for as long as the block runs."""
    with mock_plugin(PluginType.ENDPOINT, "chat", MockClass):
        assert plugins.get_class(PluginType.ENDPOINT, "chat") is MockClass
    assert plugins.get_class(PluginType.ENDPOINT, "chat") is ChatEndpoint


def test_listing_imports_no_numpy():
    """Asking what there is stays cheap."""
    code = (
        "import sys; from steelyard.dialects.aiperf.plugin import plugin_registry as r;"
        "assert r.list_implementations('endpoint'); sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
