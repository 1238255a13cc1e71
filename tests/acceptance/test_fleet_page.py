"""What docs/fleet.md tells a new user to type works as it stands there."""

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from fleet_service import STEELYARD, FleetService

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(600)]
PAGE = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    (place / "tests").mkdir()
    (place / "tests" / "test_one.py").write_text("def test_one():\n    assert 1\n")
    (place / "tasks.yaml").write_text(blocks("yaml")[0])
    return place


@pytest.fixture(scope="module")
def service(place):
    service = FleetService(place, "--slots", "2", "--drain-s", "0")
    yield service
    service.stop()


@pytest.fixture(scope="module")
def mock_url():
    words = [*STEELYARD, "mock", "--port", "0"]
    mock = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield mock.stdout.readline().split()[-1]
    mock.send_signal(signal.SIGINT)
    mock.wait(60)
    mock.stdout.close()


def test_every_command_of_the_page_does_what_it_says(service, place, mock_url):
    environ = {**os.environ, "STEELYARD_FLEET_URL": service.url, "STEELYARD_FLEET_KEY": service.key}
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(lines) >= 12
    for line in lines:
        words = shlex.split(line.replace("http://127.0.0.1:8000", mock_url))
        if "benchmark" in words:
            words += ["--fail-on", ""]  # a busy machine's verdict says nothing of the page
        done = subprocess.run(
            [*STEELYARD, *words[1:]], capture_output=True, text=True, check=False, cwd=place,
            env=environ, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    with service.client() as client:
        tasks, _ = client.tasks(limit=100, whole=True)
        ended = [client.wait(task["spec"]["task_id"], timeout_s=150) for task in tasks]
    kinds = {task["spec"]["kind"] for task in ended}
    assert kinds == {"command", "callable", "pytest", "benchmark"}
    # The suite of one test has two shards; the second finds none, which is no failure.
    bad = [(t["spec"]["payload"], t["outcome"]) for t in ended if t["state"] != "completed"]
    assert bad == []


def test_the_client_of_the_page_prints_what_it_should(service, monkeypatch):
    monkeypatch.setenv("STEELYARD_FLEET_URL", service.url)
    monkeypatch.setenv("STEELYARD_FLEET_KEY", service.key)
    (text,) = blocks("py")  # every `py` block of the page
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, "docs/fleet.md", "exec"), {})  # noqa: S102  our own page
    assert printed.getvalue().splitlines()[0] == str([n**0.5 for n in range(4)])
