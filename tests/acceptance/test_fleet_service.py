"""A fleet as a new user meets it: serve, submit, follow, kill, read; and what strangers get."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from fleet_service import STEELYARD, FleetService, command, wait_for

from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet.local_processes import marked
from steelyard.runtime.fleet.service_http import ServiceRefusedError, ServiceUnreachableError

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(300)]
SUITE = "def test_a():\n    assert True\n\ndef test_b():\n    print('in b')\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    flags = ("--slots", "4", "--drain-s", "1", "--body-max-mb", "0.2", "--rate", "1000")
    with FleetService(tmp_path_factory.mktemp("fleet"), *flags) as service:
        yield service


@pytest.fixture
def mock_url():
    words = [*STEELYARD, "mock", "--port", "0", "--ttft-ms", "1", "--tokens", "4"]
    mock = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield mock.stdout.readline().split()[-1]
    mock.send_signal(signal.SIGINT)
    mock.wait(60)
    mock.stdout.close()


def test_twenty_mixed_tasks_end_with_their_results(service, client, mock_url, tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    flags = ["-m", "mock", "-u", mock_url, "--request-count", "8", "--concurrency", "2",
             "--endpoint-type", "chat", "--streaming", "--fail-on", ""]  # fmt: skip
    tasks = [command("sh", "-c", f"echo {n}; echo e{n} >&2", name=f"c{n}") for n in range(14)]
    tasks += [
        {"kind": "callable", "name": "pow", "payload": {"function": "math:pow", "args": [2, 10]}},
        {"kind": "pytest", "name": "suite",
         "payload": {"paths": ["test_suite.py"], "rootdir": str(tmp_path), "shards": 2}},
        {"kind": "benchmark", "name": "bench", "payload": {"flags": flags}},
        command("sh", "-c", "exit 3", name="fails"),
        command("true", name="after", depends_on=["c0", "pow"]),
        command("true", name="never", depends_on=["fails"]),
    ]  # fmt: skip
    answers = client.submit(tasks)
    assert [a["refusal"] for a in answers] == [""] * 21  # the suite in two shards
    ended = client.wait(*(a["task_id"] for a in answers), timeout_s=150)
    by_name = {}
    for task in ended:
        by_name.setdefault(task["spec"]["name"], []).append(task)
    bad = {name: one["state"] for name, (one, *_) in by_name.items() if one["state"] != "completed"}
    assert bad == {"fails": "failed", "never": "cancelled"}, bad
    assert by_name["pow"][0]["outcome"]["result"] == 1024.0
    assert [t["outcome"]["result"]["stdout"] for t in by_name["c7"]] == ["7\n"]
    counts = [t["outcome"]["result"]["passed"] for t in ended if t["spec"]["kind"] == "pytest"]
    assert sum(counts) == 2
    assert by_name["bench"][0]["outcome"]["result"]["verdict"]
    assert by_name["fails"][0]["outcome"]["exit_code"] == 3


def test_logs_are_followed_as_they_come_over_all_attempts(client, tmp_path):
    script = 'echo "try $0"; until [ -e "$2" ]; do sleep 0.05; done; echo "end é"; '
    script += '[ -e "$1" ] || { touch "$1"; exit 1; }'
    task = command("sh", "-c", script, "x", str(tmp_path / "tried"), str(tmp_path / "seen"),
                   retries=1, backoff={"first_s": 0.1, "jitter": 0.0})  # fmt: skip
    (answer,) = client.submit(task)
    seen = ""
    for text in client.logs(answer["task_id"], follow=True):
        seen += text
        (tmp_path / "seen").touch()  # it ends only when its beginning was followed
    assert seen == "try x\nend é\n" * 2
    assert "".join(client.logs(answer["task_id"], attempt=1)) == "try x\nend é\n"
    attempts = client.attempts(answer["task_id"])
    assert [a["outcome"]["ending"] for a in attempts] == ["failed", "succeeded"]


def test_a_killed_worker_costs_an_attempt_and_no_task(service, client, tmp_path):
    script = 'mkdir "$0" && sleep 600; echo done'
    (answer,) = client.submit(command("sh", "-c", script, str(tmp_path / "once")))
    task_id = answer["task_id"]
    wait_for(lambda: client.task(task_id)["state"] == "running")
    children = subprocess.run(
        ["ps", "--ppid", str(service.process.pid), "-o", "pid="],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert children
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    task = client.wait(task_id, timeout_s=120)
    assert task["state"] == "completed"
    endings = [a["outcome"]["ending"] for a in client.attempts(task_id)]
    assert endings == ["lost", "succeeded"]
    assert task["outcome"]["result"]["stdout"] == "done\n"


def test_a_cancelled_task_ends_long_before_its_time(client):
    def programs():
        return marked(answer["task_id"], "STEELYARD_FLEET_TASK")

    (answer,) = client.submit(command("sleep", "600"))
    wait_for(lambda: client.task(answer["task_id"])["state"] == "running")
    assert programs()
    client.cancel(answer["task_id"], "enough")
    task = client.task(answer["task_id"])
    assert (task["state"], task["reason"]) == ("cancelled", "enough")
    wait_for(lambda: not programs(), what="the end of its program")
    wait_for(lambda: not any(w["holds"] for w in client.workers()), what="a free slot")
    with pytest.raises(ServiceRefusedError, match="can't be cancelled") as caught:
        client.cancel(answer["task_id"])
    assert caught.value.status == 409


def test_a_stranger_gets_401_and_another_key_its_own_projects_only(service, client):
    with service.client("sty_wrong") as stranger, pytest.raises(ServiceRefusedError) as caught:
        stranger.tasks()
    assert caught.value.status == 401
    (secret,) = client.submit(command("true", project="secret"))
    key = service.key_of("submitter", "ann", projects=["open"])
    with service.client(key) as ann:
        (own,) = ann.submit(command("true"))
        assert ann.task(own["task_id"])["spec"]["user"] == "ann"
        assert [t["spec"]["task_id"] for t in ann.tasks()[0]] == [own["task_id"]]
        for ask in (ann.task, ann.why, ann.cancel, lambda name: list(ann.logs(name))):
            with pytest.raises(ServiceRefusedError, match="no such task"):
                ask(secret["task_id"])
        with pytest.raises(ServiceRefusedError, match="not for this project"):
            ann.tasks(project="secret")
    bob = service.key_of("submitter", "bob")
    with service.client(bob) as bob, pytest.raises(ServiceRefusedError, match="another's"):
        bob.cancel(own["task_id"])


def test_a_body_over_the_bound_is_told_so(service, client):
    with pytest.raises(ServiceRefusedError, match=r"too long.*200,000 bytes") as caught:
        client.submit(command("true", payload={"argv": ["true", "x" * 300_000]}))
    assert caught.value.status == 413
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as raw:
        head = f"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"%x\r\n" % 65_536 + b" " * 65_536 + b"\r\n"
        for _ in range(4):
            raw.sendall(chunk)
        assert raw.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    "path",
    ["/v1/tasks/../../../etc/passwd/logs", "/v1/tasks/%2e%2e%2f%2e%2e%2fetc%2fpasswd/logs",
     "/v1/tasks/x/logs?stream=../../../etc/passwd", "/v1/tasks/x%00/logs", "/v1/tasks/./logs",
     "/v1/tasks//etc/passwd/logs", "/v1/tasks/..%2Fclient.json/logs"],
)  # fmt: skip
def test_no_name_of_a_log_leads_out_of_the_logs(service, path):
    status, _, body = service.request("GET", path, key=service.key)
    assert status in {404, 422}
    assert b"root:" not in body
    assert service.key.encode() not in body


def test_a_client_of_events_that_does_not_read_holds_nobody_up(service, client):
    parts = urlsplit(service.url)
    slow = socket.create_connection((parts.hostname, parts.port), timeout=60)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.sendall(
        f"GET /v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    assert slow.recv(12) == b"HTTP/1.1 101"
    heard, there = [], threading.Event()

    def listen():
        with service.client() as other:
            for event in other.events(after=0):
                heard.append(event)
                there.set()
                if event["name"] == "task_completed" and event["arguments"]["task_id"] == last[0]:
                    return

    last = [""]
    answers = client.submit([command("true") for _ in range(40)])
    last[0] = answers[-1]["task_id"]
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert there.wait(60)
    ended = client.wait(*(a["task_id"] for a in answers), timeout_s=120)
    assert {task["state"] for task in ended} == {"completed"}
    listener.join(60)
    assert not listener.is_alive()
    assert [e["seq"] for e in heard] == sorted(e["seq"] for e in heard)
    slow.close()


def test_a_stranger_follows_no_events(service):
    with service.client("sty_wrong") as stranger, pytest.raises(SteelyardError, match="401"):
        next(stranger.events())
    with (
        service.client(service.key_of("worker", "w")) as worker,
        pytest.raises(SteelyardError, match="refused"),
    ):
        next(worker.events())


def test_who_follows_events_is_let_go_when_the_key_is_revoked(service, client):
    made = client.create_key("watcher", "reader")
    with service.client(made["token"]) as watcher:
        events = watcher.events(after=0)
        next(events)
        client.revoke_key(made["key"]["key_id"])
        with pytest.raises(SteelyardError, match="no longer valid"):
            list(events)


def test_metrics_are_prometheus_and_need_a_key(service):
    assert service.request("GET", "/metrics")[0] == 401
    status, headers, body = service.request("GET", "/metrics", key=service.key)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"steelyard_fleet_leader 1" in body


def test_a_server_that_is_killed_and_started_again_has_its_tasks(tmp_path):
    service = FleetService(tmp_path, "--slots", "1")
    with service.client() as client:
        script = 'mkdir "$0" && sleep 600; echo ran'
        words = ("sh", "-c", script, str(tmp_path / "once"))
        first, *rest = client.submit([command(*words) for _ in range(3)])
        wait_for(lambda: client.task(first["task_id"])["state"] == "running")
    key = service.key
    service.kill()
    with service.client() as client, pytest.raises(ServiceUnreachableError, match="No fleet"):
        client.tasks()
    service = FleetService(tmp_path, "--slots", "2")
    try:
        assert service.key == key  # the same owner; no other key was made
        with service.client() as client:
            ids = [first["task_id"], *(a["task_id"] for a in rest)]
            ended = client.wait(*ids, timeout_s=120)
            assert [t["state"] for t in ended] == ["completed"] * 3
            assert len(client.keys()) == 1
    finally:
        assert service.stop() == 0


def test_ctrl_c_waits_for_attempts_and_a_second_one_does_not(tmp_path):
    service = FleetService(tmp_path, "--drain-s", "1000")
    with service.client() as client:
        script = 'until [ -e "$0" ]; do sleep 0.05; done'
        (quick,) = client.submit(command("sh", "-c", script, str(tmp_path / "go")))
        wait_for(lambda: client.task(quick["task_id"])["state"] == "running")
        service.signal(signal.SIGINT)
        wait_for(lambda: "1 attempt may end within 1000 s" in service.log())
        (tmp_path / "go").touch()
        assert service.process.wait(120) == service.stop() == 0
        service = FleetService(tmp_path, "--drain-s", "1000")
    with service.client() as client:
        assert client.task(quick["task_id"])["state"] == "completed"
        assert [w["draining"] for w in client.workers()] == [False]
        (slow,) = client.submit(command("sleep", "1000"))
        wait_for(lambda: client.task(slow["task_id"])["state"] == "running")
    assert marked(slow["task_id"], "STEELYARD_FLEET_TASK")
    service.signal(signal.SIGINT)
    wait_for(lambda: service.log().count("attempt may end") == 2)
    assert service.stop() == 0
    assert not marked(slow["task_id"], "STEELYARD_FLEET_TASK")


def test_tls_is_spoken_and_a_certificate_nobody_trusts_is_not(tmp_path):
    import trustme

    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    with (tmp_path / "cert.pem").open("wb") as file:
        for blob in certificate.cert_chain_pems:
            file.write(blob.bytes())
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    service = FleetService(
        tmp_path, "--no-local", "--certfile", str(tmp_path / "cert.pem"),
        "--keyfile", str(tmp_path / "key.pem"),
    )  # fmt: skip
    try:
        assert service.url.startswith("https://")
        with service.client(ca_file=str(tmp_path / "ca.pem")) as client:
            assert client.health() == {"status": "ok"}
        (service.directory / "client.json").unlink()
        with service.client() as client, pytest.raises(SteelyardError, match="not trusted"):
            client.health()
    finally:
        service.stop()


def test_a_service_for_other_machines_is_refused_without_tls(tmp_path):
    words = [sys.executable, "-m", "steelyard", "fleet", "serve", "--host", "0.0.0.0", "--dir",
             str(tmp_path / "fleet")]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "plain text" in done.stderr
    assert "--insecure-http" in done.stderr
    assert not (tmp_path / "fleet").exists()


def test_what_serve_wrote_is_its_owners(service):
    for name in ("client.json", "audit.jsonl"):
        assert (service.directory / name).stat().st_mode & 0o077 == 0
    assert json.loads((service.directory / "client.json").read_text())["url"] == service.url
