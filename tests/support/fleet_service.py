"""`steelyard fleet serve` as a process of its own, and what a stranger could send to it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import psutil

from steelyard.fleet import Client

STEELYARD = (sys.executable, "-m", "steelyard")
START_S = 60.0


def command(*argv, **more):
    """Return a task of kind `command`, as a client submits it."""
    return {"kind": "command", "payload": {"argv": list(argv)}, **more}


_ASK = """
import sys, urllib.request
method, url, key, body = sys.argv[1:]
headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
asked = urllib.request.Request(url, body.encode() or None, headers, method=method)
print(urllib.request.urlopen(asked, timeout=60).read().decode())
"""


class FleetService:
    """A served fleet in a directory; `flags` go to `serve`, and `within` stands before it."""

    def __init__(self, directory, *flags, environ=None, within=()):
        self.directory, self._within = directory / "fleet", within
        self._log = directory / "serve.log"
        words = [*within, *STEELYARD, "fleet", "serve", "--port", "0"]
        words += ["--dir", str(self.directory), *flags]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=log, cwd=directory, text=True,
                env={**os.environ, **(environ or {})}, start_new_session=True,
            )  # fmt: skip
        line = self.process.stdout.readline()
        if "fleet is at" not in line:
            self.process.wait(START_S)
            self.process.stdout.close()
            raise RuntimeError(self.log())
        self.url = line.split()[-1]
        kept = json.loads((self.directory / "client.json").read_text())
        self.key, self.ca_file = kept["key"], kept["ca_file"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return self._log.read_text()

    def client(self, key=None, **more):
        return Client(self.url, key or self.key, directory=self.directory, **more)

    def key_of(self, role, name="somebody", **more):
        with self.client() as client:
            return client.create_key(name, role, **more)["token"]

    def request(self, method, path, *, key=None, body=None, headers=None, timeout_s=60):
        """Return status, headers and body of a request as it is, without any of our client."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        given = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            connection.request(method, path, body=body, headers={**given, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers.items()), answer.read()
        finally:
            connection.close()

    def run(self, *words, environ=None, **more):
        """Run `steelyard fleet ...` as a person in this directory does."""
        env = {**os.environ, **(environ or {})}
        env.pop("COLUMNS", None)  # pages are as wide as they are
        return subprocess.run(
            [*STEELYARD, "fleet", *words, "--dir", str(self.directory)], check=False,
            capture_output=True, text=True, timeout=100, env=env, **more,
        )  # fmt: skip

    def ask(self, method, path, key, body=None):
        """Return the answer to a request that is made where it is."""
        text = json.dumps(body) if body is not None else ""
        words = [*self._within, sys.executable, "-c", _ASK, method, self.url + path, key, text]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    def leads(self, key):
        return self.ask("GET", "/v1/version", key)["leads"]

    def below(self):
        """Return its worker and all that it runs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """End it as Ctrl-C does; return its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process.stdout.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()


def wait_for(check, timeout_s=60.0, what="it"):
    """Return what `check` returns once that is true."""
    until = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < until, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.05)
    return found
