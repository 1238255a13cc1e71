"""Runs a suite, and what failed in it again: standard library only, run by the task's own Python.

`suite.json` in the working directory says what to run. Each run leaves `junit-N.xml`; the exit code
is the first run's, or 0 when all that failed passed on a rerun.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

EXIT_FAILED = 1
EXIT_NONE_COLLECTED = 5
PLUGIN = "attempt_selection"
_NODE_PROPERTY = "steelyard_node"


def run(said: dict[str, Any], number: int, selection: dict[str, Any]) -> int:
    """Return the exit code of one run of pytest."""
    here = Path.cwd()
    file = here / f"selection-{number}.json"
    file.write_text(json.dumps(selection), encoding="utf-8")
    env = {**os.environ, "STEELYARD_PYTEST_SELECTION": str(file)}
    env["PYTHONPATH"] = os.pathsep.join([str(here / "plugin"), env.get("PYTHONPATH", "")])
    command = [
        sys.executable, "-m", "pytest", *said["args"], "-p", PLUGIN,
        f"--junitxml={here / f'junit-{number}.xml'}", "-o", "junit_family=xunit2",
        "--", *said["paths"],
    ]  # fmt: skip
    return subprocess.run(command, cwd=said["rootdir"] or here, env=env, check=False).returncode


def outcomes_in(path: Path) -> tuple[set[str], set[str]]:
    """Return the full names of the tests that failed in a run, and of those that passed."""
    failed: set[str] = set()
    others: set[str] = set()
    skipped: set[str] = set()
    for case in ET.parse(path).iter("testcase"):  # noqa: S314  as above
        found = others if case.find("skipped") is None else skipped
        if case.find("failure") is not None or case.find("error") is not None:
            found = failed
        for each in case.iter("property"):
            if each.get("name") == _NODE_PROPERTY:
                found.add(each.get("value", ""))
    return failed, others - failed - skipped


def _die_alike(number: int) -> None:
    """End by the signal that ended pytest, so that whoever waits for us is told of it."""
    with contextlib.suppress(OSError):  # that of SIGKILL can't be set, and needs not
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def main() -> int:
    """Return the exit code."""
    said = json.loads(Path("suite.json").read_text(encoding="utf-8"))
    first = run(said, 0, said["selection"])
    if first == EXIT_NONE_COLLECTED and said["selection"]["shards"] > 1:
        return 0  # the other shards have them all
    if first < 0:
        _die_alike(-first)
    if first != EXIT_FAILED:
        return first
    left, _ = outcomes_in(Path("junit-0.xml"))
    nameless = not left  # a module that can't be imported is no test that could be run again
    for number in range(1, said["reruns"] + 1):
        if nameless or not left:
            break
        if run(said, number, {"only": sorted(left)}) not in (0, EXIT_FAILED):
            break
        # What is skipped this time, or not there, has not passed.
        left -= outcomes_in(Path(f"junit-{number}.xml"))[1]
    return first if left or nameless else 0


if __name__ == "__main__":
    sys.exit(main())
