"""What each installed backend had of a run, and of one whose mirror was killed half way.

    python -m benchmarks.track_backends [--quick] [--write] [--only NAME ...]

Every backend of `steelyard plugins` that can be used gets 5,000 values of five metrics, parameters,
tags and two artifacts through a real mirror, in a place without a network (a namespace with a
loopback of its own; a receiver of OTLP and what a backend needs listens there). Then the same run
again, whose mirror is killed when it has begun: `track sync` delivers the rest. `verified` is what
the conformance kit reads back through the tracker's own storage, as the manifest says.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from benchmarks.tables import page, parser, publish, table

from steelyard.app.composition import standard_host
from steelyard.app.track.experiment import Experiment
from steelyard.domain.track.courier import Place
from steelyard.plugins.spec import PluginSpec

POINTS = 5_000
METRICS = 5
FLUSH_S = 60.0
OFFLINE = "STEELYARD_BENCH_OFFLINE"
ALL = ("scalar", "parameter", "tag", "artifact", "status")
NEEDS = {
    "clearml": "a server of ClearML",
    "wandb": "a server of Weights & Biases",
}
"""Backends that speak to a server which is not to be had here."""


def options_of(spec: PluginSpec, directory: Path, collector: str) -> dict[str, Any]:
    """Return a configuration with which a backend keeps all below `directory`."""
    if spec.name == "otel":
        return {"endpoint": collector}
    if spec.name == "mlflow":
        return {"tracking_uri": f"sqlite:///{directory}/mlflow.db"}
    fields = spec.config_schema or {}
    return {"directory": str(directory / spec.name)} if "directory" in fields else {}


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Answer each request of OTLP/HTTP on a port of the loopback; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"
    finally:
        server.shutdown()
        server.server_close()


def log_half(experiment: Experiment, half: int, points: int) -> None:
    """Log one half of the points, and in the first all else."""
    if half == 0:
        experiment.log_params({f"layer{i}": {"units": i, "rate": i / 10} for i in range(10)})
        experiment.set_tags(team="vision", stage="bench")
        experiment.log_bytes(bytes(range(256)) * 4_000, "model.bin")
        experiment.log_bytes(b"loss,step\n", "plots/loss.csv")
    steps = points // METRICS // 2
    for step in range(half * steps, (half + 1) * steps):
        experiment.log_metrics({f"metric{m}": step / (m + 1) for m in range(METRICS)}, step)


def whole(
    spec: PluginSpec, options: dict[str, Any], store: Path, points: int
) -> tuple[Place, float]:
    """Mirror a run; return how far its mirror came, and the seconds from start to end."""
    begun = time.perf_counter()
    experiment = Experiment("whole", backend={spec.name: options}, directory=store).start()
    for half in (0, 1):
        log_half(experiment, half, points)
    experiment.stop(flush_timeout_s=FLUSH_S)
    return experiment.mirrors()[spec.name], time.perf_counter() - begun


def killed(
    spec: PluginSpec, options: dict[str, Any], store: Path, points: int
) -> tuple[int, Place]:
    """Kill a run's mirror half way and sync it; return what it had, and how far it is then."""
    experiment = Experiment("killed", backend={spec.name: options}, directory=store).start()
    log_half(experiment, 0, points)
    deadline = time.monotonic() + FLUSH_S
    while not experiment.mirrors()[spec.name].delivered and time.monotonic() < deadline:
        time.sleep(0.01)
    for sidecar in psutil.Process().children():
        for process in (sidecar, *sidecar.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
    had = experiment.mirrors()[spec.name].delivered
    log_half(experiment, 1, points)
    experiment.stop(flush_timeout_s=1.0)
    words = [
        sys.executable,
        "-m",
        "steelyard",
        "track",
        "sync",
        str(experiment.directory),
        "--json",
    ]
    for name, value in options.items():
        words += ["--backend", spec.name, "--option", f"{name}={value}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("["):
        message = f"{spec.name}: {done.stderr.strip()[-300:]}"
        raise RuntimeError(message)
    return had, Place(**json.loads(done.stdout)[0]["place"])


def one(name: str, points: int) -> dict[str, Any]:
    """Return what is told of one backend."""
    spec = standard_host().spec("backend", name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, collector() as url:
        directory = Path(scratch)
        os.environ["HOME"] = scratch  # SDKs keep files there
        os.chdir(scratch)
        options = options_of(spec, directory, url)
        place, seconds = whole(spec, options, directory / "store", points)
        had, after = killed(spec, options, directory / "store", points)
    return {
        "seconds": seconds, "delivered": place.delivered, "retried": place.retried,
        "dropped": place.dropped, "why": place.why_dropped, "closed": place.closed,
        "error": place.last_error, "had": had, "after": after.delivered,
        "after_dropped": after.dropped, "after_closed": after.closed,
    }  # fmt: skip


def row(spec: PluginSpec, points: int) -> list[str]:
    """Return the row of one backend, which is tried in a process of its own."""
    verified = spec.metadata.get("verified", ())
    fields = ", ".join(part for part in ALL if part in verified) or "none"
    start = [spec.name, _version(spec), fields if set(ALL) - set(verified) else "all"]
    if spec.name in NEEDS:
        return [*start, *["-"] * 5, f"not run: it needs {NEEDS[spec.name]}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.track_backends", "--one", spec.name, "--points",
         str(points)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stderr, file=sys.stderr)
    if done.returncode:
        return [*start, *["-"] * 5, f"failed: {done.stderr.strip().splitlines()[-1]}"]
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"{spec.name}: {told}", file=sys.stderr, flush=True)
    end = "all" if told["after_closed"] else "not all"
    return [
        *start, f"{told['delivered']:,}", str(told["retried"]), str(told["dropped"]),
        f"{told['seconds']:.1f}" + ("" if told["closed"] else " (not done)"),
        f"{told['had']:,}", f"{end}: {told['after']:,}, {told['after_dropped']} dropped",
    ]  # fmt: skip


def _version(spec: PluginSpec) -> str:
    found = []
    for requirement in spec.requires:
        name = requirement.partition(">=")[0]
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return ", ".join(found) or "ours"


def _offline(words: list[str]) -> int:
    """Run this again where no network is; return how that ended."""
    prefix = ["unshare", "--net", *(["--map-root-user"] if os.geteuid() else [])]
    up = ["sh", "-c", 'ip link set lo up && exec "$@"', "offline"]
    command = [*prefix, *up, sys.executable, "-m", "benchmarks.track_backends", *words]
    return subprocess.run(command, env={**os.environ, OFFLINE: "1"}, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--only", nargs="+", default=[], help="only these backends")
    made.add_argument("--one", default="", help=argparse.SUPPRESS)
    made.add_argument("--points", type=int, default=POINTS, help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Try all backends, print the table, and keep the page where asked."""
    asked = _parser().parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, asked.points)))
        return
    if not os.environ.get(OFFLINE):
        raise SystemExit(_offline(sys.argv[1:]))
    points = POINTS // (10 if asked.quick else 1)
    host = standard_host()
    specs = [
        spec
        for spec in host.specs("backend")
        if not host.install_line("backend", spec.name)
        and (not asked.only or spec.name in asked.only)
    ]
    head = ["backend", "SDK", "verified", "delivered", "sent again", "dropped", "s",
            "had when killed", "after sync"]  # fmt: skip
    text = page(
        "Backends of the tracker",
        f"{points:,} values, two groups of parameters and tags, two artifacts and the end, through "
        "a real mirror without a network. A backend drops what it does not take: files, for "
        "TensorBoard and OpenTelemetry.",
        [table(head, [row(spec, points) for spec in specs])],
    )
    publish("track_backends", text, asked)


if __name__ == "__main__":
    main()
