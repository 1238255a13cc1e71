"""Why a scheduler leaves a worker idle though a task waits: in words, and until when."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from steelyard.domain.fleet.model import Worker
from steelyard.kernel.units import NS_PER_S

NAMED_MAX = 3


class Wait(NamedTuple):
    """Why a task does not take a free place.

    Attributes:
        reason: goes on after the worker's name.
        until_ns: when it takes the place all the same, 0 where time alone changes nothing.
    """

    reason: str
    until_ns: int = 0

    def of(self, workers: Sequence[str], now_ns: int) -> str:
        """Return the sentence about these workers."""
        text = f"Worker {listed(workers)}: {self.reason}"
        if not self.until_ns:
            return f"{text}."
        left_s = max(self.until_ns - now_ns, 0) / NS_PER_S
        return f"{text}; in {left_s:.0f} s it takes what is free."


def listed(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    known = list(names)
    more = len(known) - NAMED_MAX
    return ", ".join(known[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def named(workers: Iterable[Worker]) -> str:
    """Return the first workers by name, and how many more there are."""
    return listed(worker.worker_id for worker in workers)


def gpus_kept(plain: Sequence[Worker], until_ns: int) -> Wait:
    """Return why a task that asks for no GPU leaves one alone: `plain` workers would do for it."""
    reason = f"its GPUs are kept for tasks that ask for one; {named(plain)} would do for this one"
    return Wait(reason, until_ns)


def too_slow(taken_s: float, deadline_ns: int, now_ns: int) -> Wait:
    """Return why a task leaves a worker alone that would miss its deadline: a quicker one won't."""
    left_s = max(deadline_ns - now_ns, 0) / NS_PER_S
    reason = f"should take {taken_s:.0f} s, and its deadline is in {left_s:.0f} s"
    return Wait(f"{reason}, which a quicker worker can make")
