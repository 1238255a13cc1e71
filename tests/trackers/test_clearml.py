"""An offline session of ClearML keeps what it was given; read back from its zip and its folder.

A server can't be had here: the SDK imports the session into an imitation of one, and the backend
for servers is tried against the same; what a real one makes of it stays unverified.
"""

import argparse
import getpass
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import msgspec
import pytest
from backend_trials import artifact, try_a_file_in_the_way
from clearml_server import clearml_server
from own_process import OwnProcess

from steelyard.builtin.backend.clearml.mapping import name_of, services, text_of
from steelyard.builtin.backend.clearml.offline import ClearmlOfflineBackend
from steelyard.builtin.backend.clearml.server import ClearmlBackend
from steelyard.domain.track.events import Failure, Metric, Params, RunEnded, Tags
from steelyard.testing.contracts.backend import (
    BackendContract,
    BackendSubject,
    ReadBack,
    expected,
    facts,
    points,
)

# Its imports warn of what will be gone from the standard library.
pytestmark = pytest.mark.filterwarnings("ignore")
FAILED = RunEnded(status="failed", failure=Failure(type="ValueError", message="boom"))


class Folder:
    """Reads a session's folder as its zip is read."""

    def __init__(self, path):
        self.path = path

    def read(self, name):
        return (self.path / name).read_bytes()


def read(directory):
    """From the zip of a run that ended, else from the folder."""
    (folder,) = (path for path in directory.iterdir() if path.is_dir())
    archive = folder.with_suffix(".zip")
    if not archive.exists():
        return read_session(Folder(folder))
    with zipfile.ZipFile(archive) as session:
        assert session.testzip() is None
        return read_session(session)


def read_session(session):
    task = json.loads(session.read("task.json"))
    items = task["hyperparams"]
    kept = ReadBack(status=items["properties"]["status"]["value"])
    kept.params = {name: item["value"] for name, item in items.get("General", {}).items()}
    kept.tags = {name: item["value"] for name, item in items["Tags"].items()}
    assert sorted(task["tags"]) == sorted(f"{k}={v}" for k, v in kept.tags.items())
    for line in session.read("metrics.jsonl").splitlines():
        for event in json.loads(line):
            assert event["task"] == task["id"]
            name = name_of(event["metric"], event["variant"])
            kept.metrics.setdefault(name, []).append((event["iter"], event["value"]))
    for item in task["execution"]["artifacts"]:
        place = item["uri"].removeprefix(task["offline_folder"] + "/")
        kept.artifacts[item["key"]] = session.read(place)
    return kept


class TestClearmlOffline(BackendContract):
    @pytest.fixture
    def subject(self):
        def make(directory):
            return ClearmlOfflineBackend(str(directory))

        return BackendSubject(
            ClearmlOfflineBackend, make, read, same_param=lambda kept, given: kept == text_of(given)
        )


def make(directory):
    return OwnProcess(ClearmlOfflineBackend, str(directory))


def test_what_was_sent_before_a_kill_is_there_and_once(tmp_path):
    """A batch comes again, longer, behind a line that was torn: each value is there once."""
    first = make(tmp_path)
    reference = first.open(facts())
    items = points(90)
    first.log(items[:30])
    first.log([*items[30:60], Params(values={"p": [1, "ä"]}, wall_ns=1)])
    first.kill()
    with (Path(reference) / "metrics.jsonl").open("ab") as file:
        file.write(b'[{"iter": 30, "met')
    again = make(tmp_path)
    assert again.open(facts()) == reference
    again.log(items[30:])
    again.log(items[-1:])
    again.close(RunEnded(status="killed"))
    kept = read(tmp_path)
    assert kept.metrics == expected([*items, items[-1]])
    assert (kept.status, kept.params, kept.tags) == ("killed", {"p": '[1,"ä"]'}, {"first": "tag"})


def test_a_run_that_goes_on_has_a_new_zip_at_its_end(tmp_path):
    for number, status in enumerate(("failed", "finished")):
        backend = make(tmp_path)
        reference = backend.open(facts())
        backend.log([*points(2, first=2 * number), Tags(values={"first": str(number)}, wall_ns=1)])
        backend.close(RunEnded(status=status))
    kept = read(tmp_path)
    assert (kept.metrics, kept.status) == (expected(points(4)), "finished")
    assert kept.tags == {"first": "1"}
    assert [path.name for path in tmp_path.glob("*.zip")] == [f"{Path(reference).name}.zip"]


def test_two_runs_at_once_stay_apart(tmp_path):
    runs = [msgspec.structs.replace(facts(), run_id=name) for name in "ab"]
    backends = [make(tmp_path) for _ in runs]
    folders = [backend.open(run) for backend, run in zip(backends, runs, strict=True)]
    for number, backend in enumerate(backends):
        backend.log(points(10, first=number))
        backend.close(RunEnded(status="finished"))
    for number, folder in enumerate(folders):
        with zipfile.ZipFile(f"{folder}.zip") as session:
            assert read_session(session).metrics == expected(points(10, first=number))


def test_names_stay_apart_and_what_can_not_be_held_is_refused(tmp_path):
    names = ["a", "a/a", "a/a/a", "/a", "a/", "größe/λ", "a/b/c"]
    items = [Metric(name=name, value=1.0, step=-5, wall_ns=1) for name in names]
    bad = [
        Metric(name="m", value=float("inf"), step=0, wall_ns=1),
        Metric(name="m", value=1.0, step=1 << 63, wall_ns=1),
    ]
    backend = make(tmp_path)
    backend.open(facts())
    delivery = backend.log([*items, *bad])
    backend.close(None)
    assert (delivery.taken, sorted(delivery.refused)) == (9, [7, 8])
    assert read(tmp_path).metrics == {name: [(-5, 1.0)] for name in names}


def test_nothing_of_the_machine_or_the_process_is_in_a_session(tmp_path, monkeypatch):
    """Variables, arguments, user, host, packages and git stay out; `argparse` is as it was."""
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-of-the-environment")
    backend = make(tmp_path / "kept")
    backend.open(facts())
    backend.log([*points(4), Params(values={"a": 1}, wall_ns=1)])
    backend.close(RunEnded(status="finished"))
    (archive,) = (tmp_path / "kept").glob("*.zip")
    with zipfile.ZipFile(archive) as session:
        assert sorted(session.namelist()) == ["metrics.jsonl", "task.json"]
        task = json.loads(session.read("task.json"))
    task.pop("offline_folder")
    text = json.dumps(task)
    for word in ("s3cr3t", getpass.getuser() + "@", socket.gethostname(), sys.executable, "pytest"):
        assert word not in text
    assert set(task) == {
        "execution", "hyperparams", "id", "name", "offline_output_models", "project_name",
        "started", "completed", "status", "tags", "type",
    }  # fmt: skip
    services()
    for method in (argparse.ArgumentParser.parse_args, argparse.ArgumentParser.add_subparsers):
        assert method.__module__ == "argparse"


def test_a_directory_that_can_not_be_written_is_an_error_each_time(tmp_path):
    try_a_file_in_the_way(make, read, tmp_path / "file")


IMPORT = "import sys; from clearml import Task; Task.import_offline_session(sys.argv[1])"


def test_the_sdk_imports_a_session_whole(tmp_path):
    """`Task.import_offline_session` sends all values, parameters, tags and files to a server."""
    contents = {"plots/ä?.svg": b"<svg/>\r\n", "empty": b"", "m.bin": bytes(range(256))}
    backend = make(tmp_path / "kept")
    backend.open(facts())
    files = [artifact(tmp_path, name, data) for name, data in contents.items()]
    backend.log([*points(40), Params(values={"a.b": 1, "ä": [1]}, wall_ns=1), *files])
    backend.close(FAILED)
    (archive,) = (tmp_path / "kept").glob("*.zip")
    with clearml_server() as server:
        command = [sys.executable, "-c", IMPORT, str(archive)]
        env = {**os.environ, **server.environment}
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=100)
    found = kept_by(server)
    assert found.metrics == expected(points(40))
    assert found.params == {"a.b": "1", "ä": "[1]"}
    assert found.tags == {"first": "tag"}
    assert found.artifacts == contents
    assert found.status == "failed"
    (task,) = server.tasks.values()
    assert (task["name"], server.projects[task["project"]]) == ("contract", "kit")
    assert task["status"] == "completed"  # says ClearML of each that it imports


def kept_by(server):
    (task,) = server.tasks.values()
    items = task["hyperparams"]
    found = ReadBack(status=items["properties"]["status"]["value"])
    found.params = {name: item["value"] for name, item in items.get("General", {}).items()}
    found.tags = {name: item["value"] for name, item in items["Tags"].items()}
    for event in server.events:
        assert event["task"] == task["id"]
        name = name_of(event["metric"], event["variant"])
        found.metrics.setdefault(name, []).append((event["iter"], event["value"]))
    for item in task["execution"]["artifacts"]:
        found.artifacts[item["key"]] = server.files[item["uri"].removeprefix(server.url)]
    return found


def to_server(environment):
    os.environ.update(environment)
    return ClearmlBackend()


def test_an_imitated_server_is_told_all_and_a_refusal_is_an_error(tmp_path):
    """One task, also for the process that goes on with it; a batch comes again after a refusal."""
    items = points(1_200)
    with clearml_server() as server:
        first = OwnProcess(to_server, server.environment)
        reference = first.open(facts())
        assert not first.log(items[:800]).refused
        first.close(None)
        again = OwnProcess(to_server, server.environment)
        assert again.open(facts(reference)) == reference
        file = artifact(tmp_path, "plots/ä?.svg", b"<svg/>\r\n")
        rest = [Params(values={"a": None, "b": True}, wall_ns=1), file]
        server.refuse = {"tasks.edit_hyper_params"}
        with pytest.raises(RuntimeError, match="refused"):
            again.log(rest)
        server.refuse = set()
        again.log([*items[800:], *rest, Tags(values={"first": "new", "ö": "x=y"}, wall_ns=1)])
        again.close(FAILED)
    found = kept_by(server)
    assert found.metrics == expected(items)
    assert found.params == {"a": "", "b": "True"}
    assert found.tags == {"first": "new", "ö": "x=y"}
    assert found.artifacts == {"plots/ä?.svg": b"<svg/>\r\n"}
    (task,) = server.tasks.values()
    assert (found.status, task["status"]) == ("failed", "failed")
    assert sorted(task["tags"]) == ["first=new", "ö=x=y"]


def test_a_server_that_is_not_there_is_an_error_soon():
    """A closed port: each call fails within seconds, and nothing hangs at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    hosts = {f"CLEARML_{name}_HOST": url for name in ("API", "WEB", "FILES")}
    keys = {"CLEARML_API_ACCESS_KEY": "key", "CLEARML_API_SECRET_KEY": "secret"}
    backend = OwnProcess(to_server, hosts | keys)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="Error"):
            backend.open(facts())
        assert time.monotonic() - began < 50
    backend.close(RunEnded(status="finished"))


def test_without_keys_no_server_is_called():
    """ClearML's own would be: the public one is what it calls when nobody names another."""
    backend = OwnProcess(to_server, {"CLEARML_API_ACCESS_KEY": "", "CLEARML_API_SECRET_KEY": ""})
    with pytest.raises(RuntimeError, match="MissingConfigError"):
        backend.open(facts())
    backend.close(None)


def test_the_offline_mode_of_the_sdk_is_not_taken_for_a_server():
    backend = OwnProcess(to_server, {"CLEARML_OFFLINE_MODE": "1"})
    with pytest.raises(RuntimeError, match="clearml_offline"):
        backend.open(facts())
    backend.close(None)
