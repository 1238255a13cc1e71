"""Removes what a program left in a directory, whatever that is: deep, read-only, full of links.

Everything is reached from the descriptor of the directory that it is in, so that nothing outside is
touched though a link takes a directory's place meanwhile.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ALL = stat.S_IRWXU
_BLOCK = 512


@contextmanager
def opened(name: str | Path, inside: int | None = None) -> Iterator[int]:
    """Yield the descriptor of a directory, which is no link; its owner has all rights in it then.

    Raises:
        OSError: it is none, or it is somebody else's.
    """
    named = os.open(name, _FLAGS | os.O_PATH, dir_fd=inside)
    try:
        here = f"/proc/self/fd/{named}"
        mode = os.fstat(named).st_mode
        if mode & _ALL != _ALL:  # a program's, such as a cache that it has made read-only
            os.chmod(here, stat.S_IMODE(mode) | _ALL)  # noqa: PTH101  what a descriptor names
        fd = os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(named)
    try:
        yield fd
    finally:
        os.close(fd)


def remove_tree(name: str, inside: int) -> None:
    """Remove a directory and all in it; a link in it goes as a link.

    However deep it is, it takes three open files: what is two below is moved up first.

    Args:
        name: of the directory.
        inside: descriptor of the directory that it is in.

    Raises:
        OSError: it is no directory, or something in it can't be removed; all else is gone.
    """
    problems: list[OSError] = []
    with opened(name, inside) as top:
        left: set[str] = set()
        while names := set(_names(top)) - left:
            for each in names:
                found = _empty(each, top)
                left |= {each} if found else set()
                problems += found
    if problems:
        raise problems[0]
    os.rmdir(name, dir_fd=inside)


def size_of(path: Path) -> int:
    """Return what a directory takes of the disk, less what of it can't be looked at."""
    total, waiting = 0, [path]
    while waiting:
        place = waiting.pop()
        try:
            total += place.lstat().st_blocks * _BLOCK
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
        except OSError:  # it went by now, or can't be looked at: whether it can go is told later
            continue
    return total


def _empty(name: str, top: int) -> list[OSError]:
    """Remove a file, or a directory, the directories in which are moved up; return why not."""
    try:
        if not _is_directory(name, top):
            os.unlink(name, dir_fd=top)
            return []
        with opened(name, top) as fd:
            problems = [error for each in _names(fd) for error in _take_out(each, fd, top)]
        if not problems:
            os.rmdir(name, dir_fd=top)
    except OSError as error:
        return [error]
    return problems


def _take_out(name: str, fd: int, top: int) -> list[OSError]:
    try:
        if _is_directory(name, fd):
            with opened(name, fd):  # to be moved is to have one's `..` written
                os.rename(name, f".{secrets.token_hex(8)}", src_dir_fd=fd, dst_dir_fd=top)
        else:
            os.unlink(name, dir_fd=fd)
    except OSError as error:
        return [error]
    return []


def _names(fd: int) -> list[str]:
    with os.scandir(fd) as entries:
        return [entry.name for entry in entries]


def _is_directory(name: str, inside: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=inside, follow_symlinks=False).st_mode)
