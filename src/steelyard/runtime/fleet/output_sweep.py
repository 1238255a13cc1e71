"""Removes what attempts wrote and nobody keeps any more, a few directories at a time.

Whose files go follows from the ledger: of a task that has not ended, or that a worker holds, none.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.attempt_logs import task_of

SLICE = 100
"""Tasks that are looked at in one step."""
RESTED_S = 600.0
"""How long ago a task must have ended: its outputs may still be read into a run, or be followed."""
Standing = Callable[[Collection[str]], Mapping[str, int]]
"""Asked of tasks: when each that the ledger knows ended, 0 for those that are not over."""

_ATTEMPT = re.compile(r"\d+-\d+")
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


class _Found(msgspec.Struct):
    """A task's directory, as it was before the ledger was asked about it."""

    path: Path
    attempts: list[Path]
    changed_ns: int


def sweep(
    directory: Path,
    standing: Standing,
    *,
    before_ns: int,
    bytes_max: int,
    now_ns: int,
    dry_run: bool,
) -> Iterator[Swept]:
    """Remove, step by step, the outputs of tasks that ended long ago, or are too many.

    Args:
        directory: of the fleet.
        standing: see there; a task that it does not know ended when its files last changed.
        before_ns: those that ended before this Unix time go.
        bytes_max: what may stay of tasks that are over, the latest; 0 for all.
        now_ns: Unix time.
        dry_run: remove nothing.

    Yields:
        the same account after each step.
    """
    swept = Swept()
    place = directory / "attempts"
    if bytes_max:
        sizes: Counter[int] = Counter()
        for found in _entries(place):
            for each, ended_ns in _over(found, standing):
                sizes[ended_ns // _MINUTE_NS] += sum(map(_size, each.attempts))
            yield swept
        before_ns = max(before_ns, _end_of_what_fits(sizes, bytes_max))
    before_ns = min(before_ns, now_ns - int(RESTED_S * NS_PER_S))
    for found in _entries(place):
        for each, ended_ns in _over(found, standing):
            if ended_ns < before_ns:
                _remove(each, swept, dry_run=dry_run)
        yield swept


def _entries(place: Path) -> Iterator[list[_Found]]:
    """Yield the directories of tasks, some at a time."""
    try:
        entries = os.scandir(place)
    except FileNotFoundError:
        return
    with entries:
        for part in _parts(entries):
            yield [_found(Path(entry.path)) for entry in part]


def _parts(entries: Iterator[os.DirEntry[str]]) -> Iterator[list[os.DirEntry[str]]]:
    part: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            part.append(entry)
        if len(part) >= SLICE:
            yield part
            part = []
    if part:
        yield part


def _found(path: Path) -> _Found:
    try:
        attempts = [each for each in path.iterdir() if _ATTEMPT.fullmatch(each.name)]
        changed_ns = max(each.stat(follow_symlinks=False).st_mtime_ns for each in (path, *attempts))
    except OSError:  # it goes, or is made, at this moment: the next sweep sees more of it
        return _Found(path, [], 0)
    return _Found(path, attempts, changed_ns)


def _over(found: list[_Found], standing: Standing) -> Iterator[tuple[_Found, int]]:
    """Yield those of tasks that are over, and when they ended."""
    names = {each.path.name: task_of(each.path.name) for each in found}
    # Asked after the attempts were listed: one of a task that lives again by now is not among them.
    known = standing(set(names.values()))
    for each in found:
        ended_ns = known.get(names[each.path.name], each.changed_ns)
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


def _remove(found: _Found, swept: Swept, *, dry_run: bool) -> None:
    swept.tasks += 1
    for attempt in found.attempts:
        size = _size(attempt)
        try:
            if not dry_run:
                shutil.rmtree(attempt)
        except OSError:
            swept.left += 1
        else:
            swept.bytes += size
    if not dry_run:
        _remove_if_empty(found.path)


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # an attempt came by now, or somebody put something there


def _size(path: Path) -> int:
    """Return what a directory takes of the disk."""
    total = 0
    for parent, _, names in os.walk(path):
        for name in (parent, *names):
            try:
                total += Path(parent, name).lstat().st_blocks * 512
            except (
                OSError
            ):  # it went by now, or can't be looked at: whether it can go is told later
                continue
    return total
