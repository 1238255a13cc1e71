"""Runtimes and browsers on a machine: which programs answer when asked for their version."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL

import msgspec

from steelyard.runtime.fleet.local_processes import signal_group

WITHIN_S = 5.0
"""How long all programs together may take to answer."""
KILLED_WITHIN_S = 1.0
"""How long the end of one that is killed is waited for."""

ANSWER_MAX = 4_096
RUNTIMES: dict[str, tuple[str, ...]] = {
    "python": ("python3", "python"),
    "node": ("node",),
    "deno": ("deno",),
    "bun": ("bun",),
    "java": ("java",),
    "go": ("go",),
    "rust": ("rustc",),
    "dotnet": ("dotnet",),
    "docker": ("docker",),
    "podman": ("podman",),
    "apptainer": ("apptainer", "singularity"),
    "kubectl": ("kubectl",),
    "uv": ("uv",),
    "git": ("git",),
    "gcc": ("gcc",),
    "cuda-toolkit": ("nvcc",),
}
BROWSERS: dict[str, tuple[str, ...]] = {
    "chromium": ("chromium", "chromium-browser"),
    "chrome": ("google-chrome", "google-chrome-stable", "chrome"),
    "firefox": ("firefox", "firefox-esr"),
    "edge": ("microsoft-edge", "microsoft-edge-stable"),
}
_ASKED = {
    "java": ("-version",),
    "go": ("version",),
    "docker": ("version", "--format", "{{.Server.Version}}"),  # without its daemon it runs nothing
    "kubectl": ("version", "--client"),
}
_VERSION = re.compile(r"(?<![\w.])(?:v|go)?(\d+(?:\.\d+)+)")


class Program(msgspec.Struct, frozen=True):
    """A program that is there, and works."""

    name: str
    path: str
    version: str


def version_in(answer: str) -> str:
    """Return the first version number of a program's answer, or nothing."""
    match = _VERSION.search(answer)
    return match[1] if match else ""


def find(wanted: Mapping[str, Sequence[str]], path: str | None = None) -> dict[str, Program]:
    """Return those that are there and tell a version, by name; all are asked at once.

    A program that fails, hangs or says nothing of a version does not work here.
    """
    asked: list[tuple[str, str, subprocess.Popen[bytes]]] = []
    for name, programs in wanted.items():
        places = (shutil.which(program, path=path) for program in programs)
        place = next((place for place in places if place), None)
        if place is not None:
            asked += _ask(name, place)
    deadline_s = time.monotonic() + WITHIN_S
    found: dict[str, Program] = {}
    for name, place, process in asked:
        version = version_in(_answer(process, deadline_s))
        if version and process.returncode == 0:
            found[name] = Program(name, place, version)
    return found


def _ask(name: str, place: str) -> list[tuple[str, str, subprocess.Popen[bytes]]]:
    try:
        process = subprocess.Popen(
            [place, *_ASKED.get(name, ("--version",))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError:  # not for this processor, or no more processes
        return []
    return [(name, place, process)]


def _answer(process: "subprocess.Popen[bytes]", deadline_s: float) -> str:
    try:
        data = process.communicate(timeout=max(deadline_s - time.monotonic(), 0.01))[0]
    except subprocess.TimeoutExpired:
        signal_group(process.pid, SIGKILL)
        try:
            data = process.communicate(timeout=KILLED_WITHIN_S)[0]
        except subprocess.TimeoutExpired:  # what it began in another session has its output still
            assert process.stdout is not None  # noqa: S101  asked for above
            process.stdout.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILLED_WITHIN_S)
            return ""
    return data[:ANSWER_MAX].decode("utf-8", "replace")


def own_python() -> Program:
    """Return the Python that runs this."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    return Program("python", sys.executable, version)


def playwright_browsers(home: Path | None = None) -> dict[str, str]:
    """Return the browsers that Playwright installed for this user: build by name."""
    place = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    directory = Path(place) if place else (home or Path.home()) / ".cache/ms-playwright"
    found: dict[str, str] = {}
    for entry in sorted(directory.glob("*-*")) if directory.is_dir() else ():
        name, _, build = entry.name.rpartition("-")
        is_whole = (entry / "INSTALLATION_COMPLETE").exists()
        if name in {"chromium", "firefox", "webkit"} and build.isdigit() and is_whole:
            found[name] = build
    return found
