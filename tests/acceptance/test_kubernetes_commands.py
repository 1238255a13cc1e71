"""What the pods of the plain manifests run, run here: names, paths and the server's URL aside.

There is no cluster: what Kubernetes does between the manifest and the process is not tried.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess

import yaml
from acceptance_runs import STEELYARD
from schedule_hash import KeepingServer

URL = "http://llm.models.svc:8000"
WORKERS = 2


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def output_of(*words):
    done = subprocess.run(
        [*STEELYARD, *words], capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


@contextlib.contextmanager
def process(argv, environ, folder):
    with subprocess.Popen(
        argv, env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as started:
        yield started
        started.kill()


def test_the_jobs_of_a_run_find_each_other_and_end_with_it(tmp_path, monkeypatch):
    """Workers that begin before their controller wait for it, and take their index from the Job."""
    monkeypatch.setenv("TOKEN", "sekret")
    port = free_port()
    here = {
        "/etc/steelyard": str(tmp_path), "/artifacts": str(tmp_path), "/tmp/worker.join":
        str(tmp_path / "worker.join"), "0.0.0.0:7461": f"127.0.0.1:{port}",
    }  # fmt: skip
    output_of(
        "profile", "--run-type", "k8s", "-m", "m", "-u", URL, "--workers", str(WORKERS),
        "--fail-on", "", "--request-rate", "100", "--request-count", "200",
        "--header", "X-Token:${TOKEN}", "--k8s-output", str(tmp_path / "out"),
    )  # fmt: skip
    objects = list(yaml.safe_load_all((tmp_path / "out" / "plain.yaml").read_text()))
    name = next(each["metadata"]["name"] for each in objects if each["kind"] == "Service")
    secrets = {
        each["metadata"]["name"]: base64.b64decode(each["data"]["join"]).decode()
        for each in yaml.safe_load_all(output_of(
            "worker", "secrets", name, "--workers", str(WORKERS),
            "--address", f"tcp://127.0.0.1:{port}",
        ))
    }  # fmt: skip

    def of(job):
        """Return the command and environment of a Job's container."""
        (box,) = job["spec"]["template"]["spec"]["containers"]
        environ = {key: os.environ[key] for key in ("PATH",)}
        for variable in box["env"]:
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            environ[variable["name"]] = (
                variable.get("value") if secret is None
                else secrets.get(secret["name"], "sekret")
            )  # fmt: skip
        words = [here.get(word, word) for word in box["args"]]
        words = [word.replace("/etc/steelyard", str(tmp_path)) for word in words]
        return [*STEELYARD, *words], environ | {"HOME": str(tmp_path)}

    controller, worker = (of(each) for each in objects if each["kind"] == "Job")
    assert "TOKEN" in controller[1]
    assert "TOKEN" not in worker[1]
    with KeepingServer(1) as server, contextlib.ExitStack() as stack:
        plan = objects[0]["data"]["plan.yaml"].replace(URL, server.urls[0])
        (tmp_path / "plan.yaml").write_text(plan.replace("/artifacts", str(tmp_path)))
        workers = [
            stack.enter_context(process(
                worker[0], worker[1] | {"JOB_COMPLETION_INDEX": str(index)}, tmp_path
            ))
            for index in range(WORKERS)
        ]  # fmt: skip
        first = stack.enter_context(process(*controller, tmp_path))
        said, _ = first.communicate(timeout=200)
        codes = [each.wait(60) for each in workers]
        sent = server.taken()
    assert (first.returncode, codes) == (0, [0, 0]), said
    summary = json.loads((tmp_path / "run" / "profile_export.json").read_text())
    rows = [each for host in summary["hosts"] for each in host["workers"]]
    assert len(sent) == 200
    assert all(b"X-Token: sekret" in request for request in sent.values())
    assert sum(row["requests"] for row in rows) == 200
    assert all(row["requests"] for row in rows)
