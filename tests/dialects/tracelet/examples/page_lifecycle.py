"""The lifecycle example of document 004, over our manager."""

import sys

from steelyard.dialects.tracelet.core.plugins import PluginBase, PluginManager


class PluginLifecycleManager:
    """The page's class over our manager."""

    def __init__(self, paths):
        self.plugin_manager = PluginManager(plugin_paths=paths)
        self.active_plugins: list[PluginBase] = []

    def start_plugins(self, plugin_configs):
        for plugin_name, config in plugin_configs.items():
            try:
                plugin_class = self.plugin_manager.get_plugin_by_name(plugin_name)
                if plugin_class:
                    plugin_instance = plugin_class()
                    plugin_instance.initialize(config)
                    plugin_instance.start()
                    self.active_plugins.append(plugin_instance)
            except ValueError as e:
                sys.stdout.write(f"Failed to start plugin {plugin_name}: {e}\n")

    def stop_all_plugins(self):
        for plugin in self.active_plugins:
            plugin.stop()
        self.active_plugins.clear()

    def get_plugin_status(self):
        status = {}
        for plugin in self.active_plugins:
            plugin_status = plugin.get_status()
            status[plugin_status.get("name", "unknown")] = plugin_status
        return status
