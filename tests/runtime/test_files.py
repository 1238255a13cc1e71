import errno
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from steelyard.kernel.errors import EXIT_USAGE, FileError
from steelyard.runtime.files import atomic_path, write_atomic


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_appears_whole_and_alone(tmp_path):
    write_atomic(tmp_path / "a.json", b"one")
    write_atomic(tmp_path / "a.json", b"two")
    assert (tmp_path / "a.json").read_bytes() == b"two"
    assert names(tmp_path) == ["a.json"]


def test_missing_parents_are_made(tmp_path):
    write_atomic(tmp_path / "x" / "y" / "z", b"")
    assert (tmp_path / "x" / "y" / "z").read_bytes() == b""


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    previous = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_symlink_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "target.txt")
    write_atomic(tmp_path / "link.txt", b"x")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "target.txt").read_bytes() == b"x"


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", b"old")

    def fail() -> None:
        with atomic_path(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_temporary_name_keeps_the_suffix_that_writers_go_by(tmp_path):
    with atomic_path(tmp_path / "records.parquet") as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileError, match="nothing was written"), atomic_path(tmp_path / "a"):
        pass
    assert names(tmp_path) == []


def test_a_blocks_own_errors_keep_their_type(tmp_path):
    with pytest.raises(ConnectionResetError), atomic_path(tmp_path / "a"):
        raise ConnectionResetError(errno.ECONNRESET, "not about files")
    other = tmp_path / "not-there"
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        other.read_bytes()


@pytest.mark.parametrize("place", ["directory", "file/below"])
def test_a_place_that_can_not_be_written_is_named(tmp_path, place):
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"keep")
    with pytest.raises(FileError) as caught:
        write_atomic(tmp_path / place, b"x")
    assert str(tmp_path / place) in str(caught.value)
    assert caught.value.next_step
    assert caught.value.exit_code == EXIT_USAGE
    assert names(tmp_path) == ["directory", "file"]
    assert (tmp_path / "file").read_bytes() == b"keep"


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    """A limit on file size stands for the disk: the write fails half-way, as there."""
    target = tmp_path / "a"
    write_atomic(target, b"old")
    script = textwrap.dedent(f"""
        from pathlib import Path
        from steelyard.kernel.errors import FileError
        from steelyard.runtime.files import write_atomic
        try:
            write_atomic(Path({str(target)!r}), bytes(100_000))
        except FileError as error:
            print(error)
    """)
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert f"Can't write {target}: file too large" in result.stdout
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]
