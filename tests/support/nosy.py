"""What a process can read of those that it comes from, if it looks."""

import os
import shutil

import pytest

# From its parent on: ids, and what of the environments can be read, up to one process.
_LOOK = (
    'p=$PPID; while [ $p -gt 1 ]; do echo "at $p"; '
    'tr "\\0" "\\n" < /proc/$p/environ || echo "hidden $p"; '
    'cat /proc/$p/maps > /dev/null || echo "memory hidden $p"; '
    "[ $p -eq UP_TO ] && break; p=$(cut -d' ' -f4 /proc/$p/stat); done 2> /dev/null"
)
_POWERS = "-sys_ptrace,-perfmon,-sys_admin"


def words_that_look(up_to):
    """Return a program that prints the environments of its ancestors up to that process."""
    return ["sh", "-c", _LOOK.replace("UP_TO", str(up_to))]


def without_powers():
    """Return what stands before a program so that it, and all below, reads no more than users do.

    Root reads all; in a container it mostly has not what that takes.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root sees all, and there is no setpriv")
    return [setpriv, "--bounding-set", _POWERS, "--inh-caps", _POWERS]
