"""Makes a plugin of a run as its authoring style wants to be made."""

from typing import Any

from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_lifecycle import STYLES

UNUSABLE = frozenset({
    PluginState.DISABLED, PluginState.MISSING_REQUIREMENT, PluginState.FAILED,
    PluginState.QUARANTINED,
})  # fmt: skip


def make_plugin(host: PluginHost, kind: str, name: str, options: dict[str, Any]) -> Any:
    """Return a new instance, told its options by its constructor or by `initialize`.

    Raises:
        PluginError: the plugin can't be used, or raised.
        ConfigError: `options` are wrong.
    """
    spec = host.spec(kind, name)
    if STYLES[spec.authoring_style].config_in == "constructor":
        return host.create(kind, name, **options)
    target: Any = host.load(kind, name)()
    target.config = host.configuration(kind, name, options)
    target.initialize(dict(target.config))
    return target
