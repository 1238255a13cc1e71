"""Removes what attempts wrote and nobody keeps any more, a few directories at a time.

Whose files go follows from the ledger: of a task that has not ended, or that a worker holds, none.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.attempt_logs import task_of
from steelyard.runtime.fleet.output_files import Found, Outputs

RESTED_S = 600.0
"""How long ago a task must have ended: its outputs may still be read into a run, or be followed."""
Standing = Callable[[Collection[str]], Mapping[str, int]]
"""Asked of tasks: when each that the ledger knows ended, 0 for those that are not over."""

_MINUTE_NS = 60 * NS_PER_S


class Swept(msgspec.Struct):
    """What a sweep came to so far.

    Attributes:
        tasks, bytes: of which files were removed, or would be.
        left: directories that could not be removed.
    """

    tasks: int = 0
    bytes: int = 0
    left: int = 0


def sweep(
    outputs: Outputs,
    standing: Standing,
    *,
    before_ns: int,
    bytes_max: int,
    now_ns: int,
    dry_run: bool,
) -> Iterator[Swept]:
    """Remove, step by step, the outputs of tasks that ended long ago, or are too many.

    Args:
        outputs: of attempts, on one machine.
        standing: see there; a task that it does not know ended when its files last changed.
        before_ns: those that ended before this Unix time go.
        bytes_max: what may stay of tasks that are over, the latest; 0 for all.
        now_ns: Unix time.
        dry_run: remove nothing.

    Yields:
        the same account after each step.

    Raises:
        OSError, SteelyardError: what is there can't be looked at, or reached.
    """
    swept = Swept()
    if bytes_max:
        sizes: Counter[int] = Counter()
        for found in outputs.parts():
            over = list(_over(found, standing))
            taken = outputs.sizes([each for each, _ in over])
            for (_, ended_ns), size in zip(over, taken, strict=True):
                sizes[ended_ns // _MINUTE_NS] += size
            yield swept
        before_ns = max(before_ns, _end_of_what_fits(sizes, bytes_max))
    before_ns = min(before_ns, now_ns - int(RESTED_S * NS_PER_S))
    for found in outputs.parts():
        old = [each for each, ended_ns in _over(found, standing) if ended_ns < before_ns]
        if old:
            gone = outputs.remove(old, dry_run=dry_run)
            swept.tasks += sum(bool(each.attempts) for each in old)
            swept.bytes += gone.bytes
            swept.left += gone.left
        yield swept


def _over(found: list[Found], standing: Standing) -> Iterator[tuple[Found, int]]:
    """Yield those of tasks that are over, and when they ended."""
    names = {each.name: task_of(each.name) for each in found}
    # Asked after the attempts were listed: one of a task that lives again by now is not among them.
    known = standing(set(names.values()))
    for each in found:
        ended_ns = known.get(names[each.name], each.changed_ns)
        if ended_ns:
            yield each, ended_ns


def _end_of_what_fits(sizes: Counter[int], bytes_max: int) -> int:
    """Return the Unix time before which what ended is too much, to the minute; 0 for nothing."""
    left = bytes_max
    for minute in sorted(sizes, reverse=True):
        left -= sizes[minute]
        if left < 0:
            return (minute + 1) * _MINUTE_NS
    return 0
