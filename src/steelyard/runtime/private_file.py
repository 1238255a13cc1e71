"""Reads a secret from a file, if nobody but its owner can, or if it is a Secret of Kubernetes.

The kubelet mounts a Secret read-only into the pods that may have it, from memory (tmpfs), and makes
its files readable by all users of the pod unless `defaultMode` says otherwise. In that volume
`..data` names the directory with the present version, and that one holds the files. Other
read-only mounts say nothing about who reads them elsewhere: a share of a whole cluster is one.
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import reason_of

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_PRESENT = "..data"
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def read_private(path: Path, what: str) -> str:
    """Return the text of a file that only its owner can read, or that is a pod's Secret.

    Args:
        path: of the file.
        what: it is, and what others could do with it: words for the error.

    Raises:
        UsageError: it can't be read, is not text, or others can read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            is_private = not mode & _OTHERS or _is_mounted_secret(file.fileno())
            text = file.read().decode() if is_private else ""
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"Can't read {what} {path}: {why}") from error
    if not is_private:
        raise UsageError(
            f"Others can read {what} {path}, and use it",
            got=f"mode {stat.S_IMODE(mode):04o}",
            expected="0600 or 0400, or a volume of a Secret in a pod",
            next_step=f"chmod 600 {path}; where that can't be, as on a read-only volume: copy it "
            f"to a file of your own first: install -m 600 {path} COPY",
        )
    return text


def _is_mounted_secret(fd: int) -> bool:
    """Tell whether an open file is of a volume that the kubelet keeps for a Secret."""
    mount = _mount_of(fd)
    if mount is None:
        return False
    place, options, kind = mount
    if kind not in _IN_MEMORY or "ro" not in options:
        return False
    try:
        # Of the file itself, behind all links.
        within = Path(f"/proc/self/fd/{fd}").readlink().relative_to(place)
        version = (place / _PRESENT).readlink()
    except (OSError, ValueError):
        return False
    return len(within.parts) > 1 and str(version) == within.parts[0] and version.name[:2] == ".."


def _mount_of(fd: int) -> tuple[Path, frozenset[str], str] | None:
    """Return where the mount is that a file was opened by, its options and its file system."""
    try:
        told = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").split()
        number = told[told.index("mnt_id:") + 1]
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except (OSError, ValueError):  # a kernel without either
        return None
    return next((mount for name, mount in mounts(lines) if name == number), None)


def mounts(lines: list[bytes]) -> Iterator[tuple[str, tuple[Path, frozenset[str], str]]]:
    """Yield number, place, options and file system of each mount: proc(5), `mountinfo`."""
    for line in lines:
        fields, _, rest = line.partition(b" - ")
        number, _, _, _, place, options, *_ = fields.split(b" ")
        name = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), place)
        facts = frozenset(options.decode("ascii", "replace").split(","))
        yield number.decode(), (Path(os.fsdecode(name)), facts, rest.split(b" ")[0].decode())
