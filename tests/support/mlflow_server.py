"""A real MLflow server of the tests' own, and what its tables say of a run."""

import contextlib
import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from steelyard.builtin.backend.mlflow.tracking import MlflowBackend
from steelyard.testing.contracts.backend import ReadBack

STATUSES = {"RUNNING": "running", "FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
START_S = 100


class Server:
    """`mlflow server` over SQLite, with a proxy for artifacts, on a port that stays its own."""

    def __init__(self, directory):
        self.directory = directory
        self.database = directory / "server.db"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "server.log"
        self.start()

    def start(self):
        settings = {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        words = [
            "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(self.port),
            "--backend-store-uri", f"sqlite:///{self.database}",
            "--artifacts-destination", str(self.directory / "artifacts"), "--serve-artifacts",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words],
                env={**os.environ, **settings}, cwd=self.directory, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def answers(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.url}/health", timeout=10).status == 200
        return False

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @contextlib.contextmanager
    def stopped(self):
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def get(self, path, **query):
        address = f"{self.url}/api/2.0/mlflow{path}?{urllib.parse.urlencode(query)}"
        return json.load(urllib.request.urlopen(address, timeout=60))

    def requests(self):
        return self.log.read_text().count("/runs/log-batch")


def read_run(database, experiment, artifacts):
    """Return the only run of an experiment from the tables; values in the order of their rows."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as tables:
        rows = tables.execute(
            "SELECT run_uuid, status, artifact_uri FROM runs JOIN experiments USING (experiment_id)"
            " WHERE experiments.name = ?",
            [experiment],
        ).fetchall()
        ((run_id, status, uri), *_) = rows
        kept = ReadBack(status=STATUSES[status], runs=len(rows))
        for key, value, step, is_nan in tables.execute(
            "SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid",
            [run_id],
        ):
            kept.metrics.setdefault(key, []).append((step, math.nan if is_nan else value))
        for table in ("params", "tags"):
            found = tables.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ?", [run_id])
            getattr(kept, table).update(found.fetchall())
    folder = artifacts(uri)
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file():
            kept.artifacts[str(path.relative_to(folder))] = path.read_bytes()
    return kept


def on_server(server, directory):
    def folder(uri):
        return server.directory / "artifacts" / uri.partition("mlflow-artifacts:/")[2]

    return read_run(server.database, directory.name, folder)


def make_on_server(server, directory):
    return MlflowBackend(server.url, experiment=directory.name)
