"""Real `steelyard` processes for the acceptance tests: the simulated server, runs, their roles."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import psutil

STEELYARD = (sys.executable, "-m", "steelyard")
ROLES = (
    "dataset_manager", "timing_manager", "worker_manager", "worker", "records_manager",
    "post_processor_manager",
)  # fmt: skip


@contextlib.contextmanager
def mock_server(*flags: str) -> Iterator[str]:
    """Run `steelyard mock` on a free port; yield its URL."""
    process = subprocess.Popen(
        [*STEELYARD, "mock", "--port", "0", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split("listening on ", 1)[1].split()[0]
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def wait_until_gone(pids: Collection[int], timeout_s: float = 60) -> None:
    """Wait until none of the processes runs; those that nobody has collected yet are gone too."""
    deadline = time.monotonic() + timeout_s
    while alive := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"still there after {timeout_s} s: {alive}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


_begun: list["Run"] = []


def end_all() -> None:
    """Kill the runs that a failed test left behind."""
    while _begun:
        _begun.pop().end()


class Run:
    """A `steelyard profile` process and what it leaves."""

    def __init__(self, url: str, folder: Path, *flags: str) -> None:
        self.folder = folder
        command = [*STEELYARD, "profile", "-m", "mock", "--artifact-dir", str(folder)]
        command += ["--ui", "none"] * ("--ui" not in flags)
        command += ["-u", url] * bool(url)
        self.process = subprocess.Popen(
            [*command, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.out = self.err = ""
        _begun.append(self)

    def end(self) -> None:
        """Kill the run with all its roles, if it still lives, and collect what is left of it."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def wait(self, timeout_s: float = 100) -> int:
        """Return the exit code; what was printed is in `out` and `err`."""
        try:
            self.out, self.err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.out, self.err = self.process.communicate()
            raise AssertionError(f"the run did not end in {timeout_s} s\n{self.err}") from None
        return self.process.returncode

    def roles(self) -> dict[str, int]:
        """Return service id -> pid of the roles that run now, read from the process titles."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                match " ".join(child.cmdline()).split():
                    case ["steelyard", service_id]:
                        found[service_id] = child.pid
        return found

    def role_pid(self, service_type: str) -> int:
        """Return the pid of the first role of a type."""
        roles = self.roles()
        return next(
            pid for name, pid in sorted(roles.items()) if name.rpartition("_")[0] == service_type
        )

    def wait_until_lost(self, timeout_s: float = 60) -> None:
        """Wait until the controller has written down that a role is gone."""
        journal = self.folder / "journal" / "controller.journal"
        deadline = time.monotonic() + timeout_s
        while True:
            has_ended = self.process.poll() is not None
            if b"bench.service.lost" in journal.read_bytes():
                return
            assert not has_ended, self.wait()
            assert time.monotonic() < deadline, f"nobody was missed within {timeout_s} s"
            time.sleep(0.05)

    def stop(self) -> int:
        """Press Ctrl-C, so that a long run ends as soon as a test has seen enough of it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait_until_sending(self) -> None:
        """Wait until records have reached the journal."""
        self._wait_for_records(20_000)

    def wait_for_more_records(self) -> None:
        """Wait until more records have reached the journal than are there now."""
        self._wait_for_records(20_000 + self._records_size())

    def _records_size(self) -> int:
        records = self.folder / "journal" / "records.journal"
        return records.stat().st_size if records.exists() else 0

    def _wait_for_records(self, size: int, timeout_s: float = 150) -> None:
        deadline = time.monotonic() + timeout_s
        while self._records_size() <= size:
            assert self.process.poll() is None, self.wait()
            assert time.monotonic() < deadline, f"no records within {timeout_s} s: {self.roles()}"
            time.sleep(0.02)

    @property
    def summary(self) -> dict[str, Any]:
        """Return profile_export.json."""
        document: dict[str, Any] = json.loads(self._written("profile_export.json"))
        return document

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return profile_export.jsonl."""
        lines = self._written("profile_export.jsonl").splitlines()
        return [json.loads(line) for line in lines]

    def _written(self, name: str) -> str:
        path = self.folder / name
        assert path.exists(), f"no {name}; exit code {self.process.returncode}\n{self.err}"
        return path.read_text()

    def causes(self) -> dict[str, str]:
        """Return the verdict's causes: code -> message."""
        return {cause["code"]: cause["message"] for cause in self.summary["verdict"]["causes"]}


def run(url: str, folder: Path, *flags: str, timeout_s: float = 100) -> Run:
    """Run to the end."""
    result = Run(url, folder, *flags)
    result.wait(timeout_s)
    return result


def report(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `steelyard report` on what a run left."""
    return subprocess.run(
        [*STEELYARD, "report", str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
