"""Scheduler `fair_share`: whoever had the least of the fleet lately is served next."""

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import msgspec

from steelyard.domain.fleet.model import Attempt, Task
from steelyard.domain.fleet.scheduling.passes import Score
from steelyard.domain.fleet.scheduling.places import Place
from steelyard.domain.fleet.scheduling.queue import Order
from steelyard.domain.fleet.scheduling.queue_scheduler import QueueScheduler
from steelyard.domain.fleet.scheduling.shares import Quota, Shares
from steelyard.kernel.errors import ConfigError
from steelyard.kernel.units import NS_PER_S

BOOST_MAX = 10
"""Priorities above this boost no more."""


class FairnessScheduler(QueueScheduler):
    """Shares slot time between users, and between projects, by weight.

    Whoever's usage over its weight is the smallest goes next, a user's and a project's counted
    alike; what is held counts with what it is thought to take.

    Args:
        fairness_window_hours: how far back usage counts.
        enable_quotas: hold back who is over a quota.
        recalculate_interval: seconds after which the window slides, and leases that take longer
            than expected are charged for it.
        max_consecutive_same_user: leases in a row after which a user lets others go first; 0 for
            any number.
        enable_priority_boost: a user's tasks go by priority, and priority 10 counts its user's
            usage half, 5 two thirds; more than 10 is no more.
        user_weights, project_weights: 1 where none is given.
        user_quotas, project_quotas: by name, `*` for everybody else: leases at once, or
            `{running: 4, hours: 10}` with slot hours within the window.
    """

    strategy: ClassVar[str] = "fair_share"

    def __init__(  # noqa: PLR0913  its options, all by name
        self,
        *,
        max_tasks_per_worker: int = 5,
        history_window_size: int = 100,
        detailed_logging: bool = False,
        fairness_window_hours: float = 24.0,
        enable_quotas: bool = True,
        recalculate_interval: float = 60.0,
        max_consecutive_same_user: int = 3,
        enable_priority_boost: bool = True,
        user_weights: Mapping[str, float] | None = None,
        project_weights: Mapping[str, float] | None = None,
        user_quotas: Mapping[str, Any] | None = None,
        project_quotas: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            max_tasks_per_worker=max_tasks_per_worker,
            history_window_size=history_window_size,
            detailed_logging=detailed_logging,
        )
        window_s = fairness_window_hours * 3600
        self.users = Shares(window_s, _weights(user_weights), _quotas(user_quotas))
        self.projects = Shares(window_s, _weights(project_weights), _quotas(project_quotas))
        self.enable_quotas = enable_quotas
        self.recalculate_interval = recalculate_interval
        self.max_consecutive_same_user = max_consecutive_same_user
        self.enable_priority_boost = enable_priority_boost
        self._recalculated_ns = 0
        self._row: tuple[str, int] = ("", 0)
        self._counts |= {"held_for_others": 0, "over_quota": 0}

    def party(self, task: Task) -> Hashable:
        """Serve users, each project of theirs apart."""
        return (task.spec.user, task.spec.project)

    def order(self, task: Task) -> Order:
        """Return the priority, the highest first, where it boosts."""
        return (-task.spec.priority,) if self.enable_priority_boost else ()

    def begin(self) -> None:
        """Slide the window when it is time."""
        self.users.begin()
        self.projects.begin()
        if self.now_ns - self._recalculated_ns >= self.recalculate_interval * NS_PER_S:
            self._recalculated_ns = self.now_ns
            self.users.recalculate(self.now_ns)
            self.projects.recalculate(self.now_ns)

    def rank(self, party: Hashable, task: Task) -> float:
        """Return the usage over the weight, boosted by priority."""
        due = self.users.due(task.spec.user)
        due += self.projects.due(task.spec.project) if task.spec.project else due
        if not self.enable_priority_boost:
            return due
        return due / (1 + min(max(task.spec.priority, 0), BOOST_MAX) / BOOST_MAX)

    def is_held(self, party: Hashable, task: Task) -> bool:
        """Tell whether the user had as many in a row as it may while others wait."""
        limit = self.max_consecutive_same_user
        user, count = self._row
        held = bool(limit) and user == task.spec.user and count >= limit
        self._counts["held_for_others"] += held
        return held

    def is_over(self, party: Hashable, task: Task) -> bool:
        """Tell whether a quota of the user's or the project's is used up."""
        if not self.enable_quotas:
            return False
        project = task.spec.project
        over = self.users.over(task.spec.user) or (project and self.projects.over(project))
        self._counts["over_quota"] += bool(over)
        return bool(over)

    def why_over(self, party: Hashable, task: Task) -> str:
        """Return which quota is used up."""
        spec = task.spec
        of_user = self.users.over(spec.user) if self.enable_quotas else ""
        if of_user:
            return f"User {spec.user or 'nobody'} is at the quota: {of_user}."
        asks = self.enable_quotas and spec.project
        of_project = self.projects.over(spec.project) if asks else ""
        return f"Project {spec.project} is at the quota: {of_project}." if of_project else ""

    def score(self, task: Task, place: Place) -> Score:
        """Prefer a fast worker, and of such the one with the fewest leases."""
        return (-place.worker.capabilities.speed, place.held)

    def gave(self, party: Hashable, task: Task, place: Place, score: Score) -> None:
        """Count what was proposed."""
        user, count = self._row
        self._row = (task.spec.user, count + 1 if user == task.spec.user else 1)
        expected_s = self.history.predict_s(task.spec, place.worker)
        self.users.propose(task.spec.user, expected_s)
        if task.spec.project:
            self.projects.propose(task.spec.project, expected_s)

    def leased(self, task: Task) -> None:
        """Count a lease."""
        super().leased(task)
        spec = task.spec
        worker = self.workers.get(task.worker_id)
        known = self.history.predict_s(spec, worker) if worker else self.history.expected_s(spec)
        self.users.lease(spec.task_id, spec.user, task.leased_ns, known)
        if spec.project:
            self.projects.lease(spec.task_id, spec.project, task.leased_ns, known)

    def ended(self, task: Task, attempt: Attempt) -> None:
        """Count what a lease took of the fleet, however it ended."""
        super().ended(task, attempt)
        taken_s = max(attempt.ended_ns - attempt.leased_ns, 0) / NS_PER_S
        spec = task.spec
        self.users.end(spec.task_id, spec.user, taken_s, attempt.ended_ns)
        if spec.project:
            self.projects.end(spec.task_id, spec.project, taken_s, attempt.ended_ns)

    def why(self, task: Task, place: Place, score: Score) -> tuple[str, ...]:
        """Return the reasons of a proposal."""
        user, project = task.spec.user or "nobody", task.spec.project
        had = f"User {user} had {self.users.used_s(task.spec.user) / 60:.1f} slot minutes lately"
        had += f" of weight {self.users.weights.get(task.spec.user, 1.0):g}, this task included"
        if project:
            had += f", project {project} {self.projects.used_s(project) / 60:.1f}"
        return (
            f"{had}: less than any other that could have been served.",
            f"Worker {place.worker_id} was the fastest free one that fits.",
        )

    def metrics(self) -> Mapping[str, Any]:
        """Return counts, and how even usage is."""
        users = self.users.metrics({task.spec.user for task in self.queue})
        named = {task.spec.project for task in self.queue if task.spec.project}
        projects = self.projects.metrics(named)
        return {
            **super().metrics(),
            "fairness": {
                "active_users": users["active"],
                "active_projects": projects["active"],
                "fairness_score": users["jain"],
                "gini": users["gini"],
                "user_shares": users["shares"],
                "project_fairness_score": projects["jain"],
                "project_gini": projects["gini"],
                "project_shares": projects["shares"],
            },
        }


def _weights(given: Mapping[str, float] | None) -> dict[str, float]:
    weights = dict(given or {})
    wrong = [name for name, weight in weights.items() if not weight > 0]
    if wrong:
        raise ConfigError(
            f"The weight of {wrong[0]} can't be used",
            got=repr(weights[wrong[0]]),
            expected="a number above 0",
        )
    return weights


def _quotas(given: Mapping[str, Any] | None) -> dict[str, Quota]:
    quotas: dict[str, Quota] = {}
    for name, value in (given or {}).items():
        plain = {"running": value} if isinstance(value, int) else value
        try:
            quotas[name] = msgspec.convert(plain, Quota)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"The quota of {name} can't be used: {error}",
                got=repr(value),
                expected="leases at once, or {running: 4, hours: 10}",
            ) from None
    return quotas
