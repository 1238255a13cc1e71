"""What attempts wrote is removed when its time has come, and nothing of what is not over."""

import errno
import os
from pathlib import Path

import pytest

from steelyard.runtime.fleet import output_files
from steelyard.runtime.fleet.attempt_logs import attempt_directory, task_directory
from steelyard.runtime.fleet.output_files import Found, OutputFiles
from steelyard.runtime.fleet.output_sweep import RESTED_S, sweep
from steelyard.runtime.fleet.tree_removal import size_of

S = 1_000_000_000
NOW_NS = 1_000_000 * S
KB = 1_000


def wrote(directory, name, *attempts, kb=1):
    for number, token in attempts or [(1, 1)]:
        place = attempt_directory(directory, name, number, token)
        place.mkdir(parents=True)
        (place / "stdout.log").write_bytes(b"x" * kb * KB)


def swept(directory, ended, **more):
    """Sweep; `ended` says when tasks ended, 0 for those that have not."""
    asked = []

    def standing(names):
        asked.append(len(names))
        return {name: at_ns for name, at_ns in ended.items() if name in names}

    given = {"before_ns": 0, "bytes_max": 0, "now_ns": NOW_NS, "dry_run": False}
    steps = list(sweep(OutputFiles(directory), standing, **(given | more)))
    assert max(asked, default=0) <= output_files.SLICE
    return steps[-1] if steps else None


def left(directory):
    return {path.name for path in (directory / "attempts").iterdir()}


def test_outputs_of_tasks_that_ended_long_ago_are_removed(tmp_path):
    ended = {"old": 10 * S, "a/b": 10 * S, ".": 10 * S, "new": 30 * S, "live": 0}
    for name in ended:
        wrote(tmp_path, name, (1, 1), (2, 7))
    found = swept(tmp_path, ended, before_ns=20 * S)
    assert left(tmp_path) == {"new", "live"}
    assert (found.tasks, found.left) == (3, 0)
    assert found.bytes >= 6 * KB
    assert len(list(task_directory(tmp_path, "live").iterdir())) == 2


def test_the_longest_ended_go_first_until_the_rest_fits(tmp_path):
    """What is not over does not count, and is not removed whatever it takes."""
    ended = {f"t{n}": n * 600 * S for n in range(1, 11)} | {"live": 0}
    for name in ended:
        wrote(tmp_path, name, kb=100)
    one = size_of(task_directory(tmp_path, "t1") / "1-1")
    swept(tmp_path, ended, bytes_max=3 * one)
    assert left(tmp_path) == {"live", "t8", "t9", "t10"}
    swept(tmp_path, ended, bytes_max=3 * one)
    assert left(tmp_path) == {"live", "t8", "t9", "t10"}


def test_a_task_that_just_ended_keeps_its_outputs_for_a_while(tmp_path):
    """They may be read into a run, or be followed by somebody."""
    ended = {"just": NOW_NS - S, "rested": NOW_NS - int(RESTED_S + 60) * S}
    for name in ended:
        wrote(tmp_path, name)
    swept(tmp_path, ended, before_ns=NOW_NS, bytes_max=1)
    assert left(tmp_path) == {"just"}


def test_what_the_ledger_does_not_know_is_as_old_as_its_files(tmp_path):
    """The ledger forgot it, or it is of another one; there is no telling whose files are new."""
    for name in ("forgotten", "strange"):
        wrote(tmp_path, name)
    for path in (*task_directory(tmp_path, "forgotten").rglob("1-1"),
                 task_directory(tmp_path, "forgotten")):  # fmt: skip
        os.utime(path, ns=(10 * S, 10 * S))
    swept(tmp_path, {}, before_ns=20 * S)
    assert left(tmp_path) == {"strange"}


def test_an_attempt_that_begins_meanwhile_is_not_touched(tmp_path):
    """A task of a forgotten id was submitted again: what was listed before is all that goes."""
    wrote(tmp_path, "t", (1, 1))

    def standing(names):
        wrote(tmp_path, "t", (1, 99))
        return {"t": 10 * S}

    for _ in sweep(
        OutputFiles(tmp_path), standing, before_ns=20 * S, bytes_max=0, now_ns=NOW_NS, dry_run=False
    ):  # fmt: skip
        pass
    assert [path.name for path in task_directory(tmp_path, "t").iterdir()] == ["1-99"]


def test_a_file_that_can_not_be_looked_at_keeps_no_other_from_going(tmp_path, monkeypatch):
    ended = {"odd": 10 * S, "t": 10 * S}
    for name in ended:
        wrote(tmp_path, name)
    looked = Path.lstat

    def lstat(path):
        if task_directory(tmp_path, "odd") in path.parents:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return looked(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    found = swept(tmp_path, ended, before_ns=20 * S, bytes_max=10**9)
    assert (found.tasks, left(tmp_path)) == (2, set())


def test_a_dry_run_says_the_same_and_removes_nothing(tmp_path):
    ended = {f"t{n}": 10 * S for n in range(250)}
    for name in ended:
        wrote(tmp_path, name)
    planned = swept(tmp_path, ended, before_ns=20 * S, dry_run=True)
    assert len(left(tmp_path)) == 250
    done = swept(tmp_path, ended, before_ns=20 * S)
    assert (planned.tasks, planned.bytes) == (done.tasks, done.bytes) == (250, planned.bytes)
    assert left(tmp_path) == set()


def test_what_is_no_attempt_s_stays(tmp_path):
    """A link out of the directory is removed as a link; a stranger's file keeps its place."""
    wrote(tmp_path, "t")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (task_directory(tmp_path, "t") / "1-1" / "link").symlink_to(outside)
    (task_directory(tmp_path, "t") / "notes.txt").write_text("mine")
    (tmp_path / "attempts" / "elsewhere").symlink_to(outside)
    swept(tmp_path, {"t": 10 * S, "elsewhere": 10 * S}, before_ns=20 * S)
    assert [path.name for path in task_directory(tmp_path, "t").iterdir()] == ["notes.txt"]
    assert (outside / "kept").exists()


def test_a_link_in_the_place_of_all_attempts_is_refused(tmp_path):
    wrote(tmp_path / "outside", "t")
    (tmp_path / "attempts").symlink_to(tmp_path / "outside" / "attempts")
    with pytest.raises(OSError, match="Not a directory"):
        swept(tmp_path, {"t": 10 * S}, before_ns=20 * S)
    assert (task_directory(tmp_path / "outside", "t") / "1-1").is_dir()


def test_a_task_s_directory_that_became_a_link_is_not_followed(tmp_path):
    """It was listed as a directory; what is behind the link stays."""
    wrote(tmp_path, "t")
    outside = tmp_path / "outside"

    def standing(names):
        if not outside.exists():
            task_directory(tmp_path, "t").rename(outside)
            task_directory(tmp_path, "t").symlink_to(outside)
        return {"t": 10 * S}

    files = OutputFiles(tmp_path)
    steps = sweep(files, standing, before_ns=20 * S, bytes_max=0, now_ns=NOW_NS, dry_run=False)
    assert [swept.left for swept in steps] == [1]
    assert (outside / "1-1" / "stdout.log").exists()


def test_a_tree_deeper_than_calls_nest_does_not_end_the_sweep(tmp_path):
    wrote(tmp_path, "t")
    here = os.open(task_directory(tmp_path, "t") / "1-1", os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = swept(tmp_path, {"t": 10 * S}, before_ns=20 * S, bytes_max=1)
    assert (found.tasks, found.left, left(tmp_path)) == (1, 0, set())


def test_an_attempt_under_way_stays_whatever_is_asked(tmp_path):
    """And no name that another machine says leads out of the directory."""
    wrote(tmp_path, "t", (1, 7), (2, 17))
    wrote(tmp_path / "out", "t")
    files = OutputFiles(tmp_path, lambda: [17])
    asked = [
        Found("t", ("1-7", "2-17")), Found("..", ("1-1",)), Found("../out/attempts/t", ("1-1",)),
        Found("t", ("../../out/attempts/t/1-1",)), Found("", ("1-1",)), Found(".", ("1-1",)),
    ]  # fmt: skip
    assert files.remove(asked, dry_run=False).left == 0
    assert [path.name for path in task_directory(tmp_path, "t").iterdir()] == ["2-17"]
    assert (task_directory(tmp_path / "out", "t") / "1-1").is_dir()


def test_a_fleet_that_never_ran_has_nothing_to_sweep(tmp_path):
    assert swept(tmp_path, {}, before_ns=NOW_NS, bytes_max=1) is None
