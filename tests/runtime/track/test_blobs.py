"""Artifacts by content."""

import hashlib
import os
import stat
import subprocess
import sys
import threading

import pytest

from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.track.blobs import BlobStore

DATA = bytes(range(256)) * 5000


@pytest.fixture
def blobs(tmp_path):
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(DATA)
    return path


def test_a_content_is_kept_byte_for_byte_under_its_hash(blobs, file):
    blob = blobs.put_file(file)
    assert blob.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (blob.size, blobs.path(blob.sha256).read_bytes()) == (len(DATA), DATA)
    file.write_bytes(b"changed")
    assert blobs.path(blob.sha256).read_bytes() == DATA
    assert blobs.problem_of(blob.sha256) == ""


def test_the_same_content_is_kept_once(blobs, file):
    one, two = blobs.put_file(file), blobs.put_bytes(DATA)
    assert one == two
    assert len(list(blobs.all())) == 1


def test_several_may_add_the_same_content_at_once(blobs):
    threads = [threading.Thread(target=blobs.put_bytes, args=(DATA,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in blobs.directory.rglob("*") if path.is_file()] == [
        hashlib.sha256(DATA).hexdigest()
    ]


def test_a_kept_content_is_read_only(blobs):
    path = blobs.path(blobs.put_bytes(b"x").sha256)
    assert not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def test_a_content_that_was_changed_is_noticed(blobs):
    blob = blobs.put_bytes(b"x")
    path = blobs.path(blob.sha256)
    path.chmod(0o644)
    path.write_bytes(b"y")
    assert blobs.problem_of(blob.sha256) == "its content has changed"
    path.unlink()
    assert "no such file" in blobs.problem_of(blob.sha256)


def test_nothing_is_kept_of_a_file_that_is_not_there(blobs, tmp_path):
    with pytest.raises(UsageError, match="Can't read"):
        blobs.put_file(tmp_path / "none")
    assert not list(blobs.directory.rglob("*"))


def test_a_place_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(FileError, match="Can't store an artifact"):
        BlobStore(tmp_path / "blobs").put_bytes(b"x")


def test_only_old_contents_that_nobody_names_are_garbage(blobs):
    named, young, old = (blobs.put_bytes(data) for data in (b"a", b"b", b"c"))
    for blob in (named, old):
        os.utime(blobs.path(blob.sha256), (0, 0))
    assert [b.sha256 for b in blobs.unreferenced({named.sha256})] == [old.sha256]
    blobs.put_bytes(b"c")
    assert blobs.unreferenced({named.sha256}) == [], "it is wanted again"
    assert {b.sha256 for b in blobs.unreferenced(set(), young_s=-1)} == {
        named.sha256, young.sha256, old.sha256,
    }  # fmt: skip


HALF = """
import io, os, sys
from pathlib import Path
from steelyard.runtime.track.blobs import BlobStore

class Stalls(io.BytesIO):
    def read(self, size):
        data = super().read(5)
        if not data:
            print("half", flush=True)
            sys.stdin.read()
        return data

BlobStore(Path(sys.argv[1]))._put(Stalls(b"some content"))
"""


def test_only_a_copy_whose_writer_is_dead_is_unfinished(blobs):
    """However old: a big file over a slow disk is no garbage while somebody writes it."""
    with subprocess.Popen(
        [sys.executable, "-c", HALF, str(blobs.directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as writer:  # fmt: skip
        assert writer.stdout.readline() == b"half\n"
        (copy,) = blobs.directory.iterdir()
        os.utime(copy, (0, 0))
        assert blobs.unfinished() == []
        writer.kill()
    assert [left.path for left in blobs.unfinished()] == [str(copy)]
    os.utime(copy)
    assert blobs.unfinished() == [], "its writer may be on another host"


def test_what_is_no_copy_is_never_unfinished(blobs, tmp_path):
    kept = blobs.put_bytes(b"x")
    os.utime(kept.path, (0, 0))
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (blobs.directory / ".link.tmp").symlink_to(outside)
    (blobs.directory / ".dir.tmp").mkdir()
    assert blobs.unfinished(young_s=-1) == []
