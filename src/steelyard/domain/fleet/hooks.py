"""What plugins of the fleet can hear of."""

from enum import StrEnum


class FleetHook(StrEnum):
    """The events by the names they are registered with."""

    COORDINATOR_STARTUP = "coordinator_startup"
    COORDINATOR_SHUTDOWN = "coordinator_shutdown"
    TASK_CREATED = "task_created"
    TASK_ASSIGNED = "task_assigned"
    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    TASK_CANCELLED = "task_cancelled"
    WORKER_REGISTERED = "worker_registered"
    WORKER_DISCONNECTED = "worker_disconnected"
    WORKER_FAILED = "worker_failed"
    WORKER_RECOVERED = "worker_recovered"
    RECOVERY_STARTED = "recovery_started"
    RECOVERY_COMPLETED = "recovery_completed"
    RECOVERY_FAILED = "recovery_failed"


HOOK_ARGUMENTS: dict[FleetHook, tuple[str, ...]] = {
    FleetHook.COORDINATOR_STARTUP: ("coordinator",),
    FleetHook.COORDINATOR_SHUTDOWN: ("coordinator",),
    FleetHook.TASK_CREATED: ("task_id", "task_data"),
    FleetHook.TASK_ASSIGNED: ("task_id", "worker_id"),
    FleetHook.TASK_STARTED: ("task_id", "worker_id"),
    FleetHook.TASK_COMPLETED: ("task_id", "result"),
    FleetHook.TASK_FAILED: ("task_id", "error"),
    FleetHook.TASK_CANCELLED: ("task_id", "reason"),
    FleetHook.WORKER_REGISTERED: ("worker_id", "capabilities"),
    FleetHook.WORKER_DISCONNECTED: ("worker_id",),
    FleetHook.WORKER_FAILED: ("worker_id", "error"),
    FleetHook.WORKER_RECOVERED: ("worker_id",),
    FleetHook.RECOVERY_STARTED: ("worker_id", "task_ids"),
    FleetHook.RECOVERY_COMPLETED: ("worker_id", "task_ids"),
    FleetHook.RECOVERY_FAILED: ("worker_id", "task_ids", "error"),
}
"""The arguments of each, in order. `task_failed` is also told of dead letters.

A recovery is what follows the loss of a worker that held leases: it starts with the tasks that were
lost, is completed when all of them have ended well or have another lease, and has failed when one
of them became a dead letter.
"""
