"""What backends that keep their runs in a directory are tried with, beside their contract."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.domain.track.events import Artifact, RunEnded
from steelyard.domain.track.ports import Backend
from steelyard.testing.contracts.backend import ReadBack, expected, facts, points


def artifact(directory: Path, name: str, data: bytes) -> Artifact:
    """Return an artifact with its content in a file below `directory`."""
    digest = hashlib.sha256(data).hexdigest()
    path = directory / digest
    path.write_bytes(data)
    return Artifact(name=name, sha256=digest, size=len(data), path=str(path), wall_ns=1)


def try_a_file_in_the_way(
    make: Callable[[Path], Backend], read: Callable[[Path], ReadBack], place: Path
) -> None:
    """Have a file be where the directory belongs: an error each time, and nothing is half open.

    The same place works, with the same backend, once it can be written. `make` returns a backend in
    a process of its own.
    """
    place.write_text("in the way")
    backend = make(place)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="Error"):
            backend.open(facts())
    with pytest.raises(RuntimeError, match="not open"):
        backend.log(points(1))
    place.unlink()
    backend.open(facts())
    backend.log(points(2))
    backend.close(RunEnded(status="finished"))
    assert read(place).metrics == expected(points(2))
