"""What others of the same user can read of a process, by the kernel's own word."""

import subprocess
import sys

import pytest
from nosy import without_powers, words_that_look

_CODE = """
import os, subprocess, sys
from steelyard.runtime.hidden import forget_variable, hide_from_others
if sys.argv[1] == "hide":
    hide_from_others()
elif sys.argv[1] == "forget":
    forget_variable("MY_TOKEN")
print(os.environ.get("MY_TOKEN"), os.environ["BESIDE"], flush=True)
subprocess.run(
    [word.replace("4242", str(os.getpid())) for word in sys.argv[2:]],
    check=True, env={"PATH": os.environ["PATH"]},
)
"""
ENVIRON = {"MY_TOKEN_NOT": "other", "MY_TOKEN": "what-is-secret", "BESIDE": "shown"}


@pytest.fixture
def seen():
    """Return what a process prints of itself, then what its child sees of it."""

    def seen(what):
        done = subprocess.run(
            [*without_powers(), sys.executable, "-c", _CODE, what, *words_that_look(4242)],
            check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **ENVIRON},
        )  # fmt: skip
        return done.stdout.splitlines()

    return seen


def test_a_process_is_an_open_book_to_its_user(seen):
    own, _, *rest = seen("nothing")
    assert own == "what-is-secret shown"
    assert "MY_TOKEN=what-is-secret" in rest


def test_of_a_hidden_process_nothing_is_read_that_it_still_knows(seen):
    own, at, *rest = seen("hide")
    pid = at.split()[1]
    assert own == "what-is-secret shown"
    assert rest == [f"hidden {pid}", f"memory hidden {pid}"]


def test_a_forgotten_variable_is_gone_everywhere_and_no_other_is(seen):
    own, _, *rest = seen("forget")
    assert own == "None shown"
    assert "what-is-secret" not in str(rest)
    assert {"MY_TOKEN_NOT=other", "BESIDE=shown"} <= set(rest)
