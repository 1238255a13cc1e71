"""Where a worker's join comes from."""

import io
import os
import sys

import pytest

from steelyard.app.run_joining import COMPLETION_VARIABLE, find_join, join_run
from steelyard.kernel.errors import EndpointUnreachableError, FileError, UsageError
from steelyard.runtime.join import INDEX_VARIABLE, JOIN_VARIABLE, prepare


@pytest.fixture
def join():
    return prepare("run-1", ["tcp://127.0.0.1:1"], 3, "0").for_workers()


@pytest.fixture
def file(join, tmp_path):
    path = tmp_path / "run.join"
    path.touch(0o600)
    path.write_text(join.encode())
    return path


def test_a_file_the_environment_or_standard_input_has_the_join(join, file, monkeypatch):
    """A file that is named wins over the environment, which may have another run's."""
    assert find_join(str(file), 1, {JOIN_VARIABLE: "x"}) == join.for_worker(1)
    assert find_join(None, 1, {JOIN_VARIABLE: join.encode()}) == join.for_worker(1)
    monkeypatch.setattr(sys, "stdin", io.StringIO(join.encode()))
    assert find_join("-", 2, {}) == join.for_worker(2)
    with pytest.raises(UsageError, match="needs the join of a run"):
        find_join(None, 0, {})


def test_the_number_is_said_by_the_flag_the_join_or_the_environment(join):
    """In that order; a Job of Kubernetes numbers its pods by itself."""
    text = join.for_worker(1).encode()
    assert find_join(None, 2, {JOIN_VARIABLE: text}).index == 2
    assert find_join(None, None, {JOIN_VARIABLE: text, INDEX_VARIABLE: "0"}).index == 1
    any_worker = {JOIN_VARIABLE: join.encode()}
    for name in (INDEX_VARIABLE, COMPLETION_VARIABLE):
        assert find_join(None, None, {**any_worker, name: "2"}).index == 2
    with pytest.raises(UsageError, match="not a number"):
        find_join(None, None, {**any_worker, INDEX_VARIABLE: "two"})
    with pytest.raises(UsageError, match="--index"):
        find_join(None, None, any_worker)
    alone = prepare("r", [], 1, "0")
    assert find_join(None, None, {JOIN_VARIABLE: alone.encode()}).index == 0


def test_a_join_that_others_can_read_is_not_used(file):
    """They could join the run with it; the error says how to mend it."""
    file.chmod(0o644)
    with pytest.raises(UsageError, match=f"join {file}.*mode 0644.*0600.*chmod 600 {file}"):
        find_join(str(file), 0, {})
    with pytest.raises(UsageError, match="no such file"):
        find_join(str(file) + "x", 0, {})
    file.chmod(0o600)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not text"):
        find_join(str(file), 0, {})


def test_a_run_that_is_not_there_leaves_nothing_behind(join, tmp_path, monkeypatch):
    """No scratch directory, and no join in the environment of what comes after."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv(JOIN_VARIABLE, join.encode())
    with pytest.raises(EndpointUnreachableError, match="Nobody listens") as caught:
        join_run(join.for_worker(0))
    assert "127.0.0.1:1" in str(caught.value)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert JOIN_VARIABLE not in os.environ
    monkeypatch.setattr("tempfile.tempdir", None)


def test_a_scratch_directory_that_can_not_be_is_named(join, file):
    """Such as one below a file."""
    with pytest.raises(FileError, match="--scratch"):
        join_run(join.for_worker(0), str(file / "below"))


def test_what_no_worker_left_in_a_directory_stays_there(join, tmp_path):
    """`--scratch .` in a home with a `dataset` of one's own takes nothing of it away."""
    kept = tmp_path / "dataset" / "mine.jsonl"
    kept.parent.mkdir()
    kept.write_text("{}")
    with pytest.raises(UsageError, match="would replace.*--scratch"):
        join_run(join.for_worker(0), str(tmp_path))
    assert kept.read_text() == "{}"


def test_what_a_worker_left_there_is_replaced(join, tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "index").write_text("old")
    (tmp_path / ".board").write_bytes(b"\0")
    with pytest.raises(EndpointUnreachableError):
        join_run(join.for_worker(0), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_is_no_text_is_no_join(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    with pytest.raises(UsageError, match="standard input: it is not text"):
        find_join("-", 0, {})
