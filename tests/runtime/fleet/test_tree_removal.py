"""Whatever a program leaves in its directory can be removed, and nothing outside of it is."""

import os
import subprocess
import sys

import pytest

from steelyard.runtime.fleet.tree_removal import opened, remove_tree, size_of

DEEP = 3_000
"""More than Python nests calls, and than a process may have files open."""
AS_SOMEBODY = """
import os, sys
from pathlib import Path
from steelyard.runtime.fleet.tree_removal import opened, remove_tree

os.chdir(sys.argv[1])
if os.getuid() == 0:  # who may do anything anyway
    os.chown(".", 65534, -1)
    os.setuid(65534)
cache = Path("t", "cache")
(cache / "sub" / "more").mkdir(parents=True)
(cache / "sub" / "more" / "file").write_text("x")
(cache / "sub" / "more").chmod(0o500)
(cache / "sub").chmod(0)
cache.chmod(0o500)
with opened(".") as fd:
    remove_tree("t", fd)
print(os.listdir("."))
"""


def removed(place, name):
    with opened(place) as fd:
        remove_tree(name, fd)


def test_a_tree_may_be_deeper_than_calls_nest_and_files_are_open(tmp_path):
    (tmp_path / "t").mkdir()
    here = os.open(tmp_path / "t", os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert size_of(tmp_path / "t") > 0
    removed(tmp_path, "t")
    assert list(tmp_path.iterdir()) == []


def test_what_a_program_made_read_only_goes_too(tmp_path):
    code = [sys.executable, "-c", AS_SOMEBODY, str(tmp_path)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_link_goes_as_a_link(tmp_path):
    outside = tmp_path / "outside"
    (outside / "sub").mkdir(parents=True)
    (outside / "sub" / "kept").write_text("x")
    (tmp_path / "t" / "in").mkdir(parents=True)
    for place in (tmp_path / "t", tmp_path / "t" / "in"):
        (place / "link").symlink_to(outside)
    removed(tmp_path, "t")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "sub" / "kept").exists()


def test_a_link_in_the_place_of_a_directory_is_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "t").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        removed(tmp_path, "t")
    with pytest.raises(NotADirectoryError), opened(tmp_path / "t"):
        pass
    assert (tmp_path / "outside").is_dir()


def test_what_can_not_be_removed_keeps_nothing_else_from_going(tmp_path, monkeypatch):
    (tmp_path / "t" / "sub").mkdir(parents=True)
    for place in (tmp_path / "t", tmp_path / "t" / "sub"):
        for name in ("a", "stuck", "z"):
            (place / name).write_text("x")
    unlink = os.unlink

    def refuse(name, **more):
        if name == "stuck":
            raise PermissionError(1, "Operation not permitted", name)
        unlink(name, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(PermissionError):
        removed(tmp_path, "t")
    left = {path.relative_to(tmp_path / "t").as_posix() for path in (tmp_path / "t").rglob("*")}
    assert left == {"stuck", "sub", "sub/stuck"}
