"""Children by fork: what they inherit, how they end, and what their parent learns of it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from steelyard.runtime.process import ExitStatus, sample_process, yield_to_others

pytestmark = pytest.mark.acceptance


def script(text, **rest):
    """Run a parent in an interpreter of its own: pytest's may hold threads."""
    code = "from steelyard.runtime.process import *\n" + textwrap.dedent(text)
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **rest,
    )


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (ExitStatus(-9), "killed by SIGKILL"),
        (ExitStatus(-15, "too slow"), "killed by SIGTERM: too slow"),
        (ExitStatus(0), "exit code 0"),
        (ExitStatus(1, "ValueError: boom"), "exit code 1: ValueError: boom"),
    ],
)
def test_an_exit_status_says_how_a_child_ended(status, text):
    assert str(status) == text


@pytest.mark.parametrize(
    ("child", "told"),
    [
        ("return 0", "exit code 0"),
        ("return 7", "exit code 7"),
        ("end.last_words('no disk'); return 3", "exit code 3: no disk"),
        ("raise ValueError('boom')", "exit code 1: ValueError: boom (<string>:6 in main)"),
        ("raise SystemExit(5)", "exit code 1: SystemExit: 5 (<string>:6 in main)"),
        ("end.last_words('x' * 10_000); return 1", "exit code 1: " + "x" * 4096),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_a_parent_learns_why_its_child_ended(child, told):
    result = script(f"""
        import time

        def main(end):
            {child}

        child = fork_child("t", main)
        while child.status() is None:
            time.sleep(0.005)
        print(child.status())
        print(child.kill() == child.status())
    """)
    assert result.stdout == f"{told}\nTrue\n", result.stderr


def test_a_loop_is_told_of_a_childs_end_at_once():
    result = script("""
        import asyncio, time, uvloop

        child = fork_child("t", lambda end: time.sleep(90))

        async def main():
            ended = asyncio.get_running_loop().create_future()
            child.watch(ended.set_result)
            await asyncio.sleep(0.05)
            began = time.monotonic()
            child.send(signal.SIGKILL)
            print(await ended, time.monotonic() - began < 20)
            again = asyncio.get_running_loop().create_future()
            child.watch(again.set_result)
            print(await again)
            child.send(signal.SIGKILL)

        uvloop.run(main())
    """)
    assert result.stdout == "killed by SIGKILL True\nkilled by SIGKILL\n", result.stderr


def test_a_child_never_returns_into_its_parents_code():
    result = script("""
        import atexit
        atexit.register(print, "exit handler")
        try:
            child = fork_child("t", lambda end: 1 / 0)
            child.kill()
        finally:
            print("parent only", flush=True)
    """)
    assert result.stdout.splitlines() == ["parent only", "exit handler"]


def test_what_the_parent_had_not_flushed_is_not_written_twice():
    result = script("""
        sys.stdout.write("once ")
        child = fork_child("t", lambda end: sys.stdout.flush() or 0)
        child.kill()
    """)
    assert result.stdout == "once "


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("from threading import *; Thread(None, time.sleep, 'ticker', [9], daemon=True).start()",
         "only thread of a process; got 'ticker'"),
        ("async def f(): fork_child('t', print)\nimport uvloop; uvloop.run(f())",
         "can't be forked while an event loop runs"),
    ],
)  # fmt: skip
def test_a_parent_with_threads_or_a_loop_is_refused(before, told):
    result = script(f"import time\n{before}\nfork_child('t', print)")
    assert result.returncode == 1
    assert told in result.stderr.splitlines()[-1]
    assert "use run type inline" in result.stderr


def test_a_child_whose_parent_is_killed_gets_sigterm():
    code = """
        import os, time

        def main(end):
            import signal
            signal.signal(signal.SIGTERM, lambda *a: os._exit(os.write(null, b"x") - 1))
            time.sleep(60)

        null = os.open(os.devnull, os.O_WRONLY)
        child = fork_child("t", main)
        print(child.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    result = script(code)
    assert result.returncode == -signal.SIGKILL
    pid = int(result.stdout)
    deadline = time.monotonic() + 60
    while (sample := sample_process(pid)) and sample.state != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_that_starts_after_its_parents_death_ends_itself():
    result = script("""
        import os, time
        inner = os.fork()
        if inner == 0:
            try:
                die_with_parent(parent_pid=1234567)
                print("lives on", flush=True)
            finally:
                os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    """)
    assert result.stdout == "1\n", result.stderr


def test_a_sample_tells_state_and_cpu_time_even_of_a_process_with_an_odd_name():
    result = script("""
        import setproctitle, os, time
        setproctitle.setproctitle("a) R (b")
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        print(sample_process(os.getpid()))
    """)
    assert "state='R'" in result.stdout
    assert int(result.stdout.rpartition("=")[2].rstrip(")\n")) >= 9
    assert sample_process(os.getpid()).state == "R"
    assert sample_process(2**22 + 1) is None


AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")


def test_a_process_of_its_own_session_yields_with_its_whole_session():
    """A nice value alone would count for nothing against the sessions of others."""
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as process:
        yield_to_others(process.pid, 7)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        if AUTOGROUPS.exists() and AUTOGROUPS.read_text().strip() == "1":
            assert Path(f"/proc/{process.pid}/autogroup").read_text().endswith("nice 7\n")
        process.kill()
    yield_to_others(process.pid, 7)  # it has ended: nothing to say


def test_a_process_of_somebody_elses_session_leaves_that_alone():
    group = Path("/proc/self/autogroup")
    before = group.read_text() if group.exists() else ""
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        yield_to_others(process.pid, 7)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        process.kill()
    assert (group.read_text() if group.exists() else "") == before
