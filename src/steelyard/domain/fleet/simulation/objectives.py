"""What a played queue was worth: one number for each objective, the smaller the better."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import exp, fsum, log
from statistics import fmean, pstdev

import msgspec

from steelyard.domain.fleet.simulation.play import BEGIN_NS, Played, Run
from steelyard.kernel.units import NS_PER_S

OBJECTIVE_OF: dict[str, str] = {
    "round_robin": "turn_spread",
    "priority_based": "urgent_wait_s",
    "hardware_match": "gpu_hours_blocked",
    "performance_based": "makespan_s",
    "deadline_driven": "missed",
    "energy_efficient": "energy_kj",
    "load_balanced": "load_deviation",
    "fair_share": "share_deviation",
    "custom": "all_round",
}
"""What each strategy is for."""
URGENT = 9
"""Tasks of this priority and above are the urgent ones."""
ALL_ROUND = ("makespan_s", "urgent_wait_s", "missed", "gpu_hours_blocked")
"""What `all_round` is the geometric mean of, each over the best of all that are compared."""


class Objectives(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared.

    Attributes:
        makespan_s: until the last task ended.
        wait_s: mean wait of all tasks, from ready to started.
        urgent_wait_s: mean wait of tasks of priority `URGENT` and above.
        missed: deadlines that were not met.
        energy_kj: what workers drew for their slots while these were busy.
        gpu_hours_blocked: GPUs of slots that were given to tasks which asked for fewer.
        share_deviation: how far the users' parts of what was used lay from equal ones, 0 to 1, on
            average over the time in which at least two of them had unended tasks.
        load_deviation: standard deviation of the workers' busy shares, on average over the moments
            right after a task started.
        turn_spread: standard deviation of the workers' counts of tasks over their mean.
    """

    makespan_s: float
    wait_s: float
    urgent_wait_s: float
    missed: int
    energy_kj: float
    gpu_hours_blocked: float
    share_deviation: float
    load_deviation: float
    turn_spread: float


def objectives(run: Run) -> Objectives:
    """Measure a played queue; a task that got no worker counts as a missed deadline."""
    hosts = {host.worker_id: host for host in run.recording.hosts}
    urgent = [p for p in run.played if p.spec.priority >= URGENT]
    energy_j = blocked_s = 0.0
    for each in run.played:
        host = hosts[each.worker_id]
        busy_s = each.ended_s - each.started_s
        energy_j += busy_s * host.capabilities.power_w / host.slots
        gpus = len(host.capabilities.gpus) / host.slots
        blocked_s += busy_s * max(gpus - each.spec.requirements.gpus, 0.0)
    makespan_s = max((p.ended_s for p in run.played), default=0.0)
    counts = Counter(p.worker_id for p in run.played)
    per_host = [counts[name] for name in hosts]
    return Objectives(
        makespan_s=makespan_s,
        wait_s=_mean(p.started_s - p.ready_s for p in run.played),
        urgent_wait_s=_mean(p.started_s - p.ready_s for p in urgent),
        missed=sum(map(_is_late, run.played)) + len(run.unserved),
        energy_kj=energy_j / 1000,
        gpu_hours_blocked=blocked_s / 3600,
        share_deviation=_share_deviation(run.played),
        load_deviation=_load_deviation(run),
        turn_spread=pstdev(per_host) / (fmean(per_host) or 1.0),
    )


def all_round(found: Mapping[str, Objectives]) -> dict[str, float]:
    """Return, by name, the geometric mean over `ALL_ROUND` of each value over the best one."""
    best = {field: min(getattr(o, field) for o in found.values()) for field in ALL_ROUND}
    # One is added to both: what can be zero (misses, hours) has a ratio then.
    return {
        name: exp(
            fsum(log((getattr(o, field) + 1) / (best[field] + 1)) for field in ALL_ROUND)
            / len(ALL_ROUND)
        )
        for name, o in found.items()
    }


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return fmean(kept) if kept else 0.0


def _is_late(each: Played) -> bool:
    due_ns = each.spec.deadline_ns
    return bool(due_ns) and each.ended_s > (due_ns - BEGIN_NS) / NS_PER_S


def _moments(played: Sequence[Played]) -> list[float]:
    return sorted({0.0, *(p.ready_s for p in played), *(p.started_s for p in played),
                   *(p.ended_s for p in played)})  # fmt: skip


def _share_deviation(played: Sequence[Played]) -> float:
    """Sweep over time: what each user has used so far, and who still wants something."""
    changes: dict[float, list[tuple[str, int, int]]] = {}
    for each in played:
        user = each.spec.user
        changes.setdefault(each.ready_s, []).append((user, 1, 0))
        changes.setdefault(each.started_s, []).append((user, 0, 1))
        changes.setdefault(each.ended_s, []).append((user, -1, -1))
    used: dict[str, float] = {}
    wants: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    total = weight = before = 0.0
    for moment in _moments(played):
        span = moment - before
        for user, count in runs.items():
            used[user] = used.get(user, 0.0) + span * count
        who = [user for user, count in wants.items() if count > 0]
        have = fsum(used.get(user, 0.0) for user in who)
        if len(who) > 1 and have > 0:
            apart = fsum(abs(used.get(user, 0.0) / have - 1 / len(who)) for user in who) / 2
            total += span * apart
            weight += span
        for user, wanted, running in changes.get(moment, ()):
            wants[user] += wanted
            runs[user] += running
        before = moment
    return total / weight if weight else 0.0


def _load_deviation(run: Run) -> float:
    slots = {host.worker_id: host.slots for host in run.recording.hosts}
    busy = dict.fromkeys(slots, 0)
    changes = sorted(
        [(p.started_s, 1, p.worker_id) for p in run.played]
        + [(p.ended_s, -1, p.worker_id) for p in run.played]
    )
    found: list[float] = []
    for _, step, name in changes:
        busy[name] += step
        if step > 0:
            found.append(pstdev(busy[w] / slots[w] for w in slots))
    return _mean(found)
