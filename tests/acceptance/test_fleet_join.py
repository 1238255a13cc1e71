"""`fleet join` and `fleet serve --engine ray` as two machines type them, on this one."""

import os
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from fleet_service import STEELYARD, FleetService, wait_for
from ray_rig import HEAD, free_port

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.network,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
    ),
]


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="sy-join-") as place:  # short: sockets lie below it
        yield Path(place)


@pytest.fixture
def environ(place):
    return {**os.environ, "RAY_TMPDIR": str(place), "HOME": str(place)}


@pytest.fixture
def address():
    return f"{HEAD}:{free_port()}"


@pytest.fixture
def node(place, environ, address):
    host, _, port = address.partition(":")
    words = [*STEELYARD, "fleet", "join", "--host", host, "--port", port, "--name", "head",
             "--dir", str(place / "node"), "--slots", "2", "--label", "zone=a"]  # fmt: skip
    with (place / "join.log").open("wb") as log:
        node = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=environ)
    assert node.stdout.readline() == f"head is a worker of the cluster at {address}\n"
    yield node
    if node.poll() is None:
        node.kill()
        node.wait(60)
    node.stdout.close()


def test_a_machine_joins_works_and_leaves(node, place, environ, address):
    service = FleetService(
        place, "--no-local", "--engine", "ray", "--engine-option", f"ray.address={address}",
        environ=environ,
    )  # fmt: skip
    try:
        with service.client() as client:
            (worker,) = wait_for(client.workers, what="a worker")
            assert (worker["worker_id"], worker["slots"]) == ("head", 2)
            assert worker["capabilities"]["labels"]["zone"] == "a"
            payload = {"shell": "echo there; sleep 0.2; echo done"}
            (answer,) = client.submit({"kind": "command", "payload": payload})
            text = "".join(client.logs(answer["task_id"], follow=True))
            assert text == "there\ndone\n"
            assert client.wait(answer["task_id"], timeout_s=100)["state"] == "completed"
    finally:
        assert service.stop() == 0
    node.send_signal(signal.SIGINT)
    assert node.wait(100) == 0
    assert f"steelyard fleet join {address}" in (place / "join.log").read_text()
    wait_for(lambda: str(place) not in everybody(), what="the end of all of Ray")


def everybody():
    ps = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return ps.stdout


def test_tls_of_a_cluster_takes_all_of_its_files(environ):
    words = [*STEELYARD, "fleet", "join", "--tls-cert", "x.pem"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environ)
    assert (done.returncode, "TLS takes all three" in done.stderr) == (2, True)
