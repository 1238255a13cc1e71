"""Which files are meant by a path, and what becomes of all that is no file."""

import os
import socket

import msgspec
import pytest

from steelyard.app.track.artifacts import fetch_artifact, files_in
from steelyard.app.track.experiment import Experiment
from steelyard.domain.track.names import NAME_MAX
from steelyard.kernel.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "out"
    (made / "a").mkdir(parents=True)
    (made / "a" / "x.txt").write_text("x")
    return made


def test_a_directory_without_odd_things_is_kept_whole(folder, caplog):
    (folder / ".hidden").write_text("h")
    assert list(files_in(folder, "r")) == ["r/.hidden", "r/a/x.txt"]
    assert caplog.text == ""


def test_a_link_is_followed_inside_and_not_out(folder, caplog):
    (folder / "best.txt").symlink_to("a/x.txt")
    (folder / "out.txt").symlink_to("/etc/hostname")
    (folder / "up.txt").symlink_to("../secret.txt")
    (folder.parent / "secret.txt").write_text("s")
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "loop").symlink_to(".")
    with Experiment("e") as run:
        run.log_artifact(folder, "r")
        assert run.get_artifact("r/best.txt").read_text() == "x"
    assert [kept.name for kept in run.list_artifacts()] == ["r/a/x.txt", "r/best.txt"]
    for name in ("out.txt", "up.txt", "gone.txt", "loop"):
        assert name in caplog.text


def test_pipes_and_sockets_in_a_directory_are_left_out_and_said(folder, caplog):
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "sock"))
        assert list(files_in(folder, "r")) == ["r/a/x.txt"]
    assert "2 entries are not kept, being no files in it: pipe, sock" in caplog.text


@pytest.mark.timeout(60)
def test_a_pipe_a_socket_or_a_device_is_refused_and_nobody_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with Experiment("e") as run, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        for path, why in ((tmp_path / "pipe", "it is a pipe"), ("/dev/zero", "it is a device")):
            with pytest.raises(UsageError, match=why):
                run.log_artifact(path)
        with pytest.raises(UsageError, match="Can't read"):
            run.log_artifact(tmp_path / "sock")
    assert run.list_artifacts() == []
    assert not list(run.store.blobs.rglob("*.tmp"))


def test_a_link_that_is_named_itself_is_followed(tmp_path):
    (tmp_path / "model-1.bin").write_bytes(b"1")
    (tmp_path / "model.bin").symlink_to("model-1.bin")
    with Experiment("e") as run:
        run.log_artifact(tmp_path / "model.bin", "model.bin")
    assert run.get_artifact("model.bin").read_bytes() == b"1"


def test_odd_file_names_are_kept_readable(folder):
    for name in (b"caf\xe9.txt", b"two\nlines", b"back\\slash", "größe".encode()):
        (folder / os.fsdecode(name)).write_bytes(name)
    with Experiment("e") as run:
        run.log_artifact(folder, "r")
    assert {kept.name for kept in run.list_artifacts()} == {
        "r/a/x.txt", "r/caf%E9.txt", "r/two%0Alines", "r/back%5Cslash", "r/größe",
    }  # fmt: skip
    assert run.get_artifact("r/caf%E9.txt").read_bytes() == b"caf\xe9.txt"


def test_a_name_too_long_is_refused_before_anything_is_kept(folder):
    deep = folder
    while len(str(deep)) < NAME_MAX + 100:
        deep /= "d" * 100
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    with Experiment("e") as run, pytest.raises(UsageError, match="The name of an artifact"):
        run.log_artifact(folder, "r")
    assert run.list_artifacts() == []


def test_a_directory_comes_back_as_it_was_logged_last(folder, tmp_path):
    with Experiment("e") as run:
        run.log_artifact(folder, "r")
        run.log_bytes(b"by itself", "r-other")
        (folder / "a" / "x.txt").write_text("newer")
        (folder / "y").write_text("y")
        run.log_artifact(folder, "r")
        copy = run.get_artifact("r", to=tmp_path / "copy")
        inner = run.get_artifact("r/a/", to=tmp_path / "inner")
        with pytest.raises(UsageError, match=r"directory of 2 artifacts.*to=\.\.\."):
            run.get_artifact("r")
        with pytest.raises(UsageError, match="no artifact 'r'"):
            run.get_artifact("r", version=1)
    found = {path.relative_to(copy).as_posix(): path.read_text() for path in copy.rglob("*.*")}
    assert found | {"y": (copy / "y").read_text()} == {"a/x.txt": "newer", "y": "y"}
    assert [path.name for path in inner.iterdir()] == ["x.txt"]


def test_no_name_of_somebodys_run_leads_out_of_the_copy(folder, tmp_path):
    with Experiment("e") as run:
        run.log_artifact(folder, "r")
        read = run.snapshot()
    (kept,) = read.artifacts
    read.artifacts.append(msgspec.structs.replace(kept, name="r/../out.txt"))
    with pytest.raises(UsageError, match=r"without '\.\.'"):
        fetch_artifact(run.store, read, "r", to=tmp_path / "copy" / "here")
    assert not (tmp_path / "copy").exists()


def test_a_message_names_some_of_many_artifacts(folder):
    with Experiment("e") as run:
        for number in range(50):
            run.log_bytes(b"x", f"f{number:02}")
        with pytest.raises(UsageError, match="f19 and 30 more"):
            run.get_artifact("none")


def test_the_store_itself_is_never_an_artifact(tmp_path, monkeypatch):
    """`log_artifact(".")` beside it would keep every run's contents anew each time."""
    (tmp_path / "train.py").write_text("pass")
    (tmp_path / "sub" / ".steelyard").mkdir(parents=True)
    (tmp_path / "sub" / ".steelyard" / "notes").write_text("not ours")
    monkeypatch.chdir(tmp_path)
    with Experiment("e", directory=".steelyard") as run:
        run.log_bytes(b"x", "model")
        run.log_artifact(".", "code")
        names = [kept.name for kept in run.list_artifacts()]
    assert names == ["model", "code/sub/.steelyard/notes", "code/train.py"]
