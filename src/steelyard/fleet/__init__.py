"""The fleet's public Python API. Names are imported when they are first used.

>>> from steelyard.fleet import Requirements, TaskSpec
>>> spec = TaskSpec(task_id="t", kind="command", payload={"argv": ["true"]})
>>> spec.requirements == Requirements()
True

A coordinator of one's own, with workers on this machine:

    async with Coordinator(FleetSettings(ledger="fleet.sqlite")) as fleet:
        await fleet.submit([spec])
"""

from typing import TYPE_CHECKING

from steelyard.runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from steelyard.app.fleet.client import Client
    from steelyard.app.fleet.coordinator import Coordinator
    from steelyard.app.fleet.errors import RefusedError, UnknownTaskError, UnknownWorkerError
    from steelyard.app.fleet.metrics import FleetMetrics, prometheus
    from steelyard.app.fleet.parts import SchedulerInfo
    from steelyard.app.fleet.settings import FleetSettings
    from steelyard.app.fleet.submit import submit
    from steelyard.app.fleet.submitting import Submission
    from steelyard.app.fleet.tidying import Tidied
    from steelyard.domain.fleet.hooks import HOOK_ARGUMENTS, FleetHook
    from steelyard.domain.fleet.model import (
        Attempt,
        Backoff,
        Ending,
        Lease,
        Limits,
        Outcome,
        Proposal,
        Task,
        TaskSpec,
        Worker,
    )
    from steelyard.domain.fleet.ports import Engine, EngineEvent, Free, Scheduler, TaskKind
    from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
    from steelyard.domain.fleet.states import TaskState, WorkerState
    from steelyard.runtime.fleet.ledger_queries import TaskFilter, TaskPage, Told
    from steelyard.runtime.fleet.ports import Decision
    from steelyard.runtime.fleet.retention import Retention

_HOMES = {
    "HOOK_ARGUMENTS": "steelyard.domain.fleet.hooks",
    "Attempt": "steelyard.domain.fleet.model",
    "Backoff": "steelyard.domain.fleet.model",
    "Capabilities": "steelyard.domain.fleet.requirements",
    "Client": "steelyard.app.fleet.client",
    "Coordinator": "steelyard.app.fleet.coordinator",
    "Decision": "steelyard.runtime.fleet.ports",
    "Ending": "steelyard.domain.fleet.model",
    "Engine": "steelyard.domain.fleet.ports",
    "EngineEvent": "steelyard.domain.fleet.ports",
    "FleetHook": "steelyard.domain.fleet.hooks",
    "FleetMetrics": "steelyard.app.fleet.metrics",
    "FleetSettings": "steelyard.app.fleet.settings",
    "Free": "steelyard.domain.fleet.ports",
    "Gpu": "steelyard.domain.fleet.requirements",
    "Lease": "steelyard.domain.fleet.model",
    "Limits": "steelyard.domain.fleet.model",
    "Outcome": "steelyard.domain.fleet.model",
    "Proposal": "steelyard.domain.fleet.model",
    "RefusedError": "steelyard.app.fleet.errors",
    "Requirements": "steelyard.domain.fleet.requirements",
    "Retention": "steelyard.runtime.fleet.retention",
    "Scheduler": "steelyard.domain.fleet.ports",
    "SchedulerInfo": "steelyard.app.fleet.parts",
    "Submission": "steelyard.app.fleet.submitting",
    "Task": "steelyard.domain.fleet.model",
    "TaskFilter": "steelyard.runtime.fleet.ledger_queries",
    "TaskKind": "steelyard.domain.fleet.ports",
    "TaskPage": "steelyard.runtime.fleet.ledger_queries",
    "TaskSpec": "steelyard.domain.fleet.model",
    "TaskState": "steelyard.domain.fleet.states",
    "Tidied": "steelyard.app.fleet.tidying",
    "Told": "steelyard.runtime.fleet.ledger_queries",
    "UnknownTaskError": "steelyard.app.fleet.errors",
    "UnknownWorkerError": "steelyard.app.fleet.errors",
    "Worker": "steelyard.domain.fleet.model",
    "WorkerState": "steelyard.domain.fleet.states",
    "prometheus": "steelyard.app.fleet.metrics",
    "submit": "steelyard.app.fleet.submit",
}

__all__ = [
    "HOOK_ARGUMENTS",
    "Attempt",
    "Backoff",
    "Capabilities",
    "Client",
    "Coordinator",
    "Decision",
    "Ending",
    "Engine",
    "EngineEvent",
    "FleetHook",
    "FleetMetrics",
    "FleetSettings",
    "Free",
    "Gpu",
    "Lease",
    "Limits",
    "Outcome",
    "Proposal",
    "RefusedError",
    "Requirements",
    "Retention",
    "Scheduler",
    "SchedulerInfo",
    "Submission",
    "Task",
    "TaskFilter",
    "TaskKind",
    "TaskPage",
    "TaskSpec",
    "TaskState",
    "Tidied",
    "Told",
    "UnknownTaskError",
    "UnknownWorkerError",
    "Worker",
    "WorkerState",
    "prometheus",
    "submit",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
