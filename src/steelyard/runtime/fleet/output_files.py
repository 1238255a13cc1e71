"""What attempts wrote on a machine: looked through and removed a few directories at a time."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from steelyard.runtime.fleet.tree_removal import opened, remove_tree, size_of

SLICE = 100
"""Tasks that are looked at in one step."""

_ATTEMPT = re.compile(r"[0-9]+-([0-9]+)")


class Found(msgspec.Struct, frozen=True):
    """A task's directory as it was when it was listed.

    Attributes:
        name: of the directory.
        attempts: the names of those that have one in it.
        changed_ns: Unix time.
    """

    name: str
    attempts: tuple[str, ...] = ()
    changed_ns: int = 0


class Gone(msgspec.Struct, frozen=True):
    """What was removed: bytes of the disk; `left` directories and files could not be."""

    bytes: int = 0
    left: int = 0

    def __add__(self, other: "Gone") -> "Gone":
        """Return both together."""
        return Gone(self.bytes + other.bytes, self.left + other.left)


class Outputs(Protocol):
    """What attempts wrote somewhere.

    Raises:
        OSError: from every method, where it can't be looked at.
        SteelyardError: where it can't be reached.
    """

    def parts(self) -> Iterator[list[Found]]:
        """Yield the directories of tasks, some at a time."""
        ...

    def sizes(self, found: Sequence[Found]) -> list[int]:
        """Return what the attempts in each take of the disk, in bytes."""
        ...

    def remove(self, found: Sequence[Found], *, dry_run: bool) -> Gone:
        """Remove the attempts that were listed; one that came since then stays, and a live one."""
        ...


class NodeFiles(Outputs, Protocol):
    """The same on a machine that is a worker, with the logs of what it was as one."""

    def tidy_logs(self, before_ns: int, *, dry_run: bool) -> Gone:
        """Remove logs that did not change since a Unix time; 0 for none. Cut one that is long."""
        ...


@runtime_checkable
class HasNodes(Protocol):
    """An engine whose attempts leave files on other machines."""

    def outputs(self) -> dict[str, NodeFiles | None]:
        """Return what is on each machine, by worker; None for one that is out of reach."""
        ...


class OutputFiles:
    """What attempts wrote on this machine.

    Args:
        directory: attempts have theirs in `attempts` in it.
        live: returns the tokens of attempts that are under way.
    """

    def __init__(self, directory: Path, live: Callable[[], Collection[int]] = tuple) -> None:
        self._place = directory / "attempts"
        self._live = live

    def parts(self) -> Iterator[list[Found]]:
        """As `Outputs`."""
        try:
            place = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            with os.scandir(place) as entries:
                part: list[Found] = []
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        part.append(self._found(entry.name))
                    if len(part) >= SLICE:
                        yield part
                        part = []
                if part:
                    yield part
        finally:
            os.close(place)

    def sizes(self, found: Sequence[Found]) -> list[int]:
        """As `Outputs`."""
        return [sum(size_of(path) for path in self._paths(each)) for each in found]

    def remove(self, found: Sequence[Found], *, dry_run: bool) -> Gone:
        """As `Outputs`."""
        if dry_run:
            return Gone(sum(self.sizes(found)))
        gone = Gone()
        with ExitStack() as stack:
            place = stack.enter_context(opened(self._place))
            for each in found:
                gone += self._remove(each, place)
        return gone

    def _found(self, name: str) -> Found:
        path = self._place / name
        try:
            attempts = [each for each in path.iterdir() if _ATTEMPT.fullmatch(each.name)]
            times = [each.stat(follow_symlinks=False).st_mtime_ns for each in (path, *attempts)]
        except OSError:  # it goes, or is made, at this moment: the next sweep sees more of it
            return Found(name)
        return Found(name, tuple(each.name for each in attempts), max(times))

    def _paths(self, found: Found) -> list[Path]:
        return [self._place / found.name / name for name in self._over(found)]

    def _over(self, found: Found) -> list[str]:
        """Return the attempts that may go. Who says which do is elsewhere: no name leads out."""
        live = {str(token) for token in self._live()}
        matches = [(name, _ATTEMPT.fullmatch(name)) for name in found.attempts]
        if Path(found.name).name != found.name or found.name in ("", ".."):
            return []
        return [name for name, match in matches if match and match[1] not in live]

    def _remove(self, found: Found, place: int) -> Gone:
        gone = Gone()
        for name in self._over(found):
            size = size_of(self._place / found.name / name)
            try:
                with opened(found.name, place) as task:
                    remove_tree(name, task)
            except OSError:
                gone += Gone(left=1)
            else:
                gone += Gone(bytes=size)
        _remove_if_empty(found.name, place)
        return gone


def _remove_if_empty(name: str, place: int) -> None:
    try:
        os.rmdir(name, dir_fd=place)
    except OSError:
        return  # an attempt came by now, or somebody put something there
