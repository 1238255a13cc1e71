"""A program is there when it answers, and not when its file is."""

import shutil
import sys
import time

import pytest

from steelyard.runtime.fleet import machine_programs
from steelyard.runtime.fleet.machine_programs import find, playwright_browsers, version_in


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("Python 3.11.7", "3.11.7"),
        ("v20.20.2\n", "20.20.2"),
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ("go version go1.24.1 linux/amd64", "1.24.1"),
        ("Docker version 28.2.2, build e6534b4", "28.2.2"),
        ("Chromium 156.0.7654.12 built on Debian 12", "156.0.7654.12"),
        ("Mozilla Firefox 153.0esr", "153.0"),
        ("Google Chrome 151.0.1.2 ", "151.0.1.2"),
        ("uv 0.7.3", "0.7.3"),
        ("gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
        ("Cuda compilation tools, release 13.0, V13.0.88", "13.0"),
        ("Client Version: v1.32.4\nKustomize Version: v5.5.0", "1.32.4"),
        ("error: no version", ""),
        ("", ""),
    ],
)
def test_versions_are_found_in_what_programs_say(answer, version):
    assert version_in(answer) == version


def script(directory, name, text):
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_what_fails_hangs_or_says_nothing_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_programs, "WITHIN_S", 0.5)
    answer = machine_programs._answer

    def patient(process, deadline_s):
        """Only what hangs is given up so soon: a slow machine takes its time for the others."""
        hangs = process.args[0].endswith(("/hangs", "/leaves"))
        return answer(process, deadline_s if hangs else deadline_s + 60)

    monkeypatch.setattr(machine_programs, "_answer", patient)
    script(tmp_path, "good", "echo good 1.2.3")
    script(tmp_path, "second", "echo on stderr 4.5 >&2")
    script(tmp_path, "fails", "echo fails 1.0; exit 3")
    script(tmp_path, "mute", "exit 0")
    script(tmp_path, "hangs", "sleep 60 & sleep 60")
    script(tmp_path, "leaves", "echo 1.0; setsid sleep 50 &")  # our pipe, where no kill finds it
    (tmp_path / "empty").write_text("")
    (tmp_path / "empty").chmod(0o755)
    wanted = {n: (n,) for n in ("good", "fails", "mute", "hangs", "leaves", "empty")}
    wanted["absent"] = ("absent",)
    begun_s = time.monotonic()
    found = find({**wanted, "either": ("absent", "second")}, path=str(tmp_path))
    assert time.monotonic() - begun_s < 40, "what hangs is waited for"
    assert {name: program.version for name, program in found.items()} == {
        "good": "1.2.3", "either": "4.5",
    }  # fmt: skip


def test_this_machine_has_what_is_in_its_path(monkeypatch):
    monkeypatch.setattr(machine_programs, "WITHIN_S", 60.0)
    found = find({"git": ("git",), "python": (sys.executable,)})
    assert ("git" in found) == (shutil.which("git") is not None)
    assert found["python"].version == "{}.{}.{}".format(*sys.version_info)


def test_browsers_of_playwright_are_those_that_were_installed_whole(tmp_path):
    for name in ("chromium-1187", "chromium_headless_shell-1187", "firefox-1490", "ffmpeg-1011"):
        place = tmp_path / ".cache/ms-playwright" / name
        place.mkdir(parents=True)
        if name != "firefox-1490":
            (place / "INSTALLATION_COMPLETE").touch()
    assert playwright_browsers(tmp_path) == {"chromium": "1187"}
    assert playwright_browsers(tmp_path / "nobody") == {}
