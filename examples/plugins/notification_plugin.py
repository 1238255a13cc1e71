"""A coordinator plugin that turns what happens into notifications, and counts them."""

import logging
from collections import Counter

from steelyard.dialects.distributed_testing.plugin_architecture import HookType, Plugin, PluginType

logger = logging.getLogger("__main__")


class SimpleNotification(Plugin):
    """Keeps its notifications, the latest `history_max` of them, and logs each."""

    def __init__(self):
        super().__init__("SimpleNotification", "1.0.0", PluginType.NOTIFICATION)
        self.config = {"history_max": 1000}
        self.notifications = []
        self.register_hook(HookType.WORKER_REGISTERED, self.on_worker_registered)
        self.register_hook(HookType.WORKER_DISCONNECTED, self.on_worker_disconnected)
        self.register_hook(HookType.TASK_CREATED, self.on_task_created)
        self.register_hook(HookType.TASK_COMPLETED, self.on_task_completed)
        self.register_hook(HookType.TASK_FAILED, self.on_task_failed)

    async def initialize(self, coordinator):
        """Nothing is needed but the events."""
        return True

    async def shutdown(self):
        """Nothing is held."""
        return True

    async def on_worker_registered(self, worker_id, capabilities):
        """A worker came."""
        self.notify("info", f"Worker {worker_id} registered with capabilities: {capabilities}")

    async def on_worker_disconnected(self, worker_id):
        """A worker is silent, or left."""
        self.notify("warning", f"Worker {worker_id} disconnected")

    async def on_task_created(self, task_id, task_data):
        """A task was submitted."""
        self.notify("info", f"Task {task_id} created with type: {task_data['type']}")

    async def on_task_completed(self, task_id, result):
        """A task ended well."""
        self.notify("info", f"Task {task_id} completed successfully")

    async def on_task_failed(self, task_id, error):
        """A task ended badly."""
        self.notify("error", f"Task {task_id} failed: {error}")

    def notify(self, level, text):
        """Keep and log a notification."""
        self.notifications.append((level, text))
        del self.notifications[: -self.config["history_max"]]
        logger.info("NOTIFICATION: %s", text)

    def levels(self):
        """Return how many there are of each level, the most frequent first."""
        return Counter(level for level, _ in self.notifications).most_common()
