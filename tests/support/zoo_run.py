"""A supervisor in a process of its own, with roles of `tests/runtime/zoo`, as tests drive it."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[1] / "runtime" / "zoo"
BOTH = pytest.mark.parametrize("mode", ["process", "inline"])


def role(name, count=1, **rest):
    """Return a role of the zoo as a `RoleSpec` has it."""
    words = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
    return {"service_type": words, "target": f"zoo_roles:{name}", "count": count, **rest}


class Controller:
    """A running `zoo_controller.py`.

    Args:
        timeout_s: within which roles must be registered.
        term_limit_s: how long a role may take to end on a SIGTERM; a slow machine takes long.
        looks: how often roles that end look whether their controller is gone, 10 ms apart.
    """

    def __init__(
        self, mode, run_dir, *roles, timeout_s=60.0, tmpdir=None, term_limit_s=60.0, looks=20
    ):
        self.run_dir = run_dir
        self.tmpdir = tmpdir or run_dir / "t"
        self.tmpdir.mkdir(exist_ok=True)
        numbers = [str(number) for number in (timeout_s, term_limit_s, looks)]
        arguments = [mode, str(run_dir), json.dumps(roles), *numbers]
        self.process = subprocess.Popen(
            [sys.executable, str(ZOO / "zoo_controller.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(self.tmpdir)},
        )
        self.buffer = b""
        self.services = {}

    def order(self, **what):
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        self.process.stdin.flush()

    def event(self, name, timeout_s=60.0):
        """Return the next event, which must be called `name`."""
        event = self.event_any(timeout_s)
        assert event["event"] == name, event
        return event

    def event_any(self, timeout_s=60.0):
        """Return the next event."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0, f"no event in {timeout_s} s"
            if select.select([self.process.stdout], [], [], left)[0]:
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, self.process.stderr.read().decode()
                self.buffer += more
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ready(self):
        event = self.event("ready")
        self.services = event["services"]
        return event

    def do(self, **what):
        self.order(**what)
        return self.event("done")["result"]

    def one(self, service_type):
        """Return id and pid of the first service of a type."""
        return next(
            (sid, pid) for sid, (kind, pid) in self.services.items() if kind == service_type
        )

    def notes(self, service_id):
        path = self.run_dir / f"{service_id}.notes"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def log(self):
        return (self.run_dir / "logs/steelyard.log").read_text()

    def finish(self):
        """End it; return what it wrote to the terminal."""
        self.process.stdin.close()
        self.event("end")
        assert self.process.wait(60) == 0
        return self.process.stderr.read().decode()
