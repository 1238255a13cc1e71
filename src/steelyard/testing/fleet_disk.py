"""What outlives a simulated fleet's coordinator: encoded copies, as a ledger would keep them."""

from collections.abc import Iterable

import msgspec

from steelyard.domain.fleet.model import Task, TaskSpec, Worker
from steelyard.domain.fleet.states import TASK_ENDS, TaskState


class Disk:
    """Tasks and workers as they were last saved.

    Attributes:
        next_token: of the next lease.
        states: of the tasks.
    """

    def __init__(self) -> None:
        self.next_token = 1
        self.states: dict[str, TaskState] = {}
        self._tasks: dict[str, bytes] = {}
        self._workers: dict[str, bytes] = {}

    def save(self, task: Task) -> None:
        """Keep a task as it is."""
        self._tasks[task.spec.task_id] = msgspec.msgpack.encode(task)
        self.states[task.spec.task_id] = task.state

    def save_worker(self, worker: Worker) -> None:
        """Keep a worker as it is."""
        self._workers[worker.worker_id] = msgspec.msgpack.encode(worker)

    def forget_worker(self, worker_id: str) -> None:
        """Keep a worker no more."""
        self._workers.pop(worker_id, None)

    def knows_worker(self, worker_id: str) -> bool:
        """Tell whether a worker was ever saved."""
        return worker_id in self._workers

    def tasks(self) -> dict[str, Task]:
        """Return all tasks, ended or not, by id."""
        return {name: self._task(name) for name in self._tasks}

    def load(self) -> tuple[list[Task], list[Worker]]:
        """Return what a coordinator goes on from: tasks not ended or held, and all workers."""
        workers = [msgspec.msgpack.decode(data, type=Worker) for data in self._workers.values()]
        held = {name for worker in workers for name in worker.holds.values()}
        wanted = (n for n, state in self.states.items() if n in held or state not in TASK_ENDS)
        return [self._task(name) for name in wanted], workers

    def recall(self, specs: Iterable[TaskSpec]) -> list[Task]:
        """Return the tasks that specs are, or depend on, where they were saved before."""
        names = {name for spec in specs for name in (spec.task_id, *spec.depends_on)}
        return [self._task(name) for name in sorted(names & self._tasks.keys())]

    def _task(self, name: str) -> Task:
        return msgspec.msgpack.decode(self._tasks[name], type=Task)
