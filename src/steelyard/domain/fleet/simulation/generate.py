"""A queue made from a seed, so mixed that every strategy has something to win on it."""

import numpy as np

from steelyard.domain.fleet.model import TaskSpec, seconds
from steelyard.domain.fleet.requirements import Capabilities, Gpu, Requirements
from steelyard.domain.fleet.simulation.recording import Host, Job, Recording

_CLASSES = (
    # capabilities, slots, real speeds: what a worker says of its speed is half of the truth
    (
        Capabilities(
            hardware_type="gpu", cpu_cores=64, memory_gb=512, power_w=2800, speed=1.2,
            gpus=(Gpu(model="NVIDIA H200", memory_gb=141),) * 4, accelerators=("cuda",),
        ),
        4,
        {"command/train": 2.0, "command/build": 1.0, "command/scan": 0.9},
    ),
    (
        Capabilities(
            hardware_type="gpu", cpu_cores=24, memory_gb=64, power_w=150, speed=1.1,
            gpus=(Gpu(model="NVIDIA L4", memory_gb=24),) * 4, accelerators=("cuda",),
        ),
        4,
        {"command/train": 0.8, "command/build": 1.1, "command/scan": 1.0},
    ),
    (
        Capabilities(cpu_cores=64, memory_gb=256, power_w=900, speed=1.5),
        8,
        {"command/build": 2.4, "command/scan": 0.6},
    ),
    (
        Capabilities(cpu_cores=32, memory_gb=64, power_w=800, speed=0.6),
        4,
        {"command/build": 0.4, "command/scan": 0.8},
    ),
    (
        Capabilities(cpu_cores=48, memory_gb=96, power_w=180, speed=0.9, labels={"arch": "arm"}),
        6,
        {"command/build": 0.6, "command/scan": 1.6},
    ),
)  # fmt: skip
_SHARES = (0.15, 0.15, 0.25, 0.2, 0.25)
_USERS = ("ann", "bob", "cyn", "dan", "eve", "fay")
_VOLUMES = (0.45, 0.25, 0.12, 0.08, 0.06, 0.04)
_NEEDS = {
    "train": Requirements(gpus=1, accelerators=("cuda",), cpu_cores=4, memory_gb=32),
    "build": Requirements(cpu_cores=4, memory_gb=8),
    "scan": Requirements(cpu_cores=1, memory_gb=2),
}


def generated(seed: int, tasks: int = 400, workers: int = 20) -> Recording:
    """Return a queue of `tasks` for `workers`: most come at once, the rest one by one."""
    rng = np.random.default_rng(seed)
    hosts: list[Host] = []
    counts = [max(round(workers * share), 1) for share in _SHARES]
    counts[-1] += workers - sum(counts)
    for (capabilities, slots, speeds), count in zip(_CLASSES, counts, strict=True):
        hosts += [
            Host(
                worker_id=f"w{len(hosts) + n:03d}", capabilities=capabilities, slots=slots,
                speeds=speeds,
            )
            for n in range(count)
        ]  # fmt: skip
    slots = sum(host.slots for host in hosts)
    kinds = rng.choice(["train", "build", "scan"], tasks, p=[0.15, 0.35, 0.5])
    estimates = np.exp(rng.normal(np.log(120), 0.6, tasks))
    errors = np.exp(rng.normal(0, 0.15, tasks))
    users = rng.choice(len(_USERS), tasks, p=_VOLUMES)
    users[: tasks // 3].sort()
    priorities = rng.choice([0, 2, 5, 9], tasks, p=[0.5, 0.25, 0.15, 0.1])
    burst = int(tasks * 0.7)
    gaps = rng.exponential(2.2 * float(estimates.mean()) / slots, tasks - burst)
    mean_s = float(estimates.sum()) / slots
    comes = np.concatenate([np.zeros(burst), mean_s * 0.6 + np.cumsum(gaps)])
    has_deadline = rng.random(tasks) < 0.35
    slack = rng.uniform(0.05, 1.0, tasks) * mean_s
    jobs = []
    for n in range(tasks):
        due_s = float(comes[n] + 1.2 * estimates[n] + slack[n])
        jobs.append(
            Job(
                spec=TaskSpec(
                    task_id=f"t{n:05d}",
                    kind="command",
                    labels={"type": str(kinds[n])},
                    user=_USERS[int(users[n])],
                    project=f"project-{int(users[n]) % 2}",
                    priority=int(priorities[n]),
                    deadline_ns=seconds(due_s) if has_deadline[n] else 0,
                    requirements=_NEEDS[str(kinds[n])],
                    estimate_s=round(float(estimates[n]), 1),
                ),
                after_s=round(float(comes[n]), 3),
                work_s=round(float(estimates[n] * errors[n]), 3),
            )
        )
    return Recording(hosts=tuple(hosts), jobs=tuple(jobs))
