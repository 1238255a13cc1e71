"""What became of the tasks that a lost worker held."""


class Recoveries:
    """Recoveries under way, by worker.

    A recovery is over when each of its tasks has another lease or has ended; it failed when one of
    them became a dead letter.
    """

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = {}
        self._all: dict[str, tuple[str, ...]] = {}
        self._dead: dict[str, list[str]] = {}

    def begin(self, worker_id: str, task_ids: tuple[str, ...]) -> None:
        """Note the tasks that were lost with a worker; adds to its recovery when one is open."""
        self._open.setdefault(worker_id, set()).update(task_ids)
        known = self._all.get(worker_id, ())
        self._all[worker_id] = known + tuple(name for name in task_ids if name not in known)

    def settle(
        self, task_id: str, *, is_dead: bool
    ) -> list[tuple[str, tuple[str, ...], list[str]]]:
        """Note that a task has another lease or has ended.

        Returns:
            for each recovery that is over by that: worker, all its tasks, and its dead letters.
        """
        over: list[tuple[str, tuple[str, ...], list[str]]] = []
        for worker_id in [name for name, left in self._open.items() if task_id in left]:
            left = self._open[worker_id]
            left.discard(task_id)
            if is_dead:
                self._dead.setdefault(worker_id, []).append(task_id)
            if not left:
                del self._open[worker_id]
                over.append((worker_id, self._all.pop(worker_id), self._dead.pop(worker_id, [])))
        return over
