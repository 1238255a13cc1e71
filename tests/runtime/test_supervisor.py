"""Supervision of real processes: killed, stopped, stuck, failing and orphaned roles."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from zoo_run import BOTH, role

from steelyard.runtime.process import sample_process

pytestmark = pytest.mark.acceptance

# Ample: who ends is noticed at once, who hangs within 2 s, and slow machines are no fault of ours.
NOTICED_S = 30
GONE_S = 30


def gone_within(pids, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        samples = [sample_process(pid) for pid in pids]
        if all(sample is None or sample.state == "Z" for sample in samples):
            return True
        time.sleep(0.02)
    return False


def links_of(directory):
    for entry in directory.iterdir():
        # What it opens for a moment may be closed again between two looks.
        with contextlib.suppress(FileNotFoundError):
            yield str(entry.readlink())


@BOTH
def test_roles_live_a_whole_life_behind_one_interface(controller, mode):
    run = controller(mode, role("Idle", 2, options={"x": 1}))
    run.ready()
    assert run.do(do="configure") == {}
    assert run.do(do="start") == {}
    ids = list(run.services)
    facts = [run.do(do="ask", target=sid, what="facts") for sid in ids]
    assert [fact["index"] for fact in facts] == [0, 1]
    assert facts[0]["options"] == {"x": 1}
    assert facts[0]["built_by"] == "build"
    assert facts[0]["peers"] == ["idle", "idle"]
    assert facts[0]["loop"].startswith("uvloop")
    assert (facts[0]["pid"] == run.process.pid) is (mode == "inline")
    assert run.do(do="stop")["took_s"] < 50, "nobody had to be killed"
    assert [run.notes(sid) for sid in ids] == [["stop", "cleanup"]] * 2
    run.finish()
    assert list(run.tmpdir.iterdir()) == [], "the socket's directory is removed"


def test_each_process_shows_its_service_id_as_its_title(controller):
    run = controller("process", role("Idle", 2))
    me = run.ready()["me"]
    shown = subprocess.run(["pgrep", "-a", "steelyard"], capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    for service_id, (_, pid) in run.services.items():
        assert f"{pid} steelyard {service_id}" in lines
    assert f"{run.process.pid} steelyard {me}" in lines
    run.finish()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGTERM, "killed by SIGTERM"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGSTOP, "its process is stopped"),
    ],
)
def test_a_role_that_dies_or_stops_is_noticed_in_time_and_the_others_are_told(
    controller, number, reason
):
    run = controller("process", role("Idle"), role("FailsStart"))
    run.ready()
    victim, pid = run.one("idle")
    witness, _ = run.one("fails_start")
    struck_ns = time.monotonic_ns()
    os.kill(pid, number)
    death = run.event("death")
    assert (death["service_id"], death["service_type"], death["index"]) == (victim, "idle", 0)
    assert death["reason"].endswith(reason)
    assert (death["mono_ns"] - struck_ns) / 1e9 < NOTICED_S
    assert run.do(do="ask", target=witness, what="facts")["lost"] == ["idle"]
    assert gone_within([pid], GONE_S), "a hung role is killed, no corpse is kept"
    if number is signal.SIGTERM:
        assert run.notes(victim) == ["stop", "cleanup"]
    run.finish()


def test_an_interrupt_from_the_terminal_reaches_the_controller_only(controller):
    run = controller("process", role("Idle"))
    run.ready()
    service_id, pid = run.one("idle")
    os.kill(pid, signal.SIGINT)
    assert run.do(do="ask", target=service_id, what="facts")["pid"] == pid
    run.finish()


@BOTH
@pytest.mark.parametrize("what", ["task", "leave"])
def test_a_role_that_fails_or_leaves_is_reported_with_its_reason(controller, mode, what):
    run = controller(mode, role("Idle"))
    run.ready()
    service_id, _ = run.one("idle")
    run.order(do="ask", target=service_id, what=what)
    events = [run.event_any() for _ in range(2)]
    death = next(event for event in events if event["event"] == "death")
    expected = {
        "task": "ValueError: asked to fail (zoo_roles.py:",
        "leave": "exit code 0" if mode == "process" else "ended without being asked to",
    }
    assert death["reason"].startswith(expected[what])
    assert death["required"] is True
    run.finish()
    assert run.notes(service_id)[-1] == "cleanup"


@BOTH
def test_a_role_that_fails_while_starting_up_is_named_with_its_error(controller, mode):
    run = controller(mode, role("Idle"), role("FailsInit"))
    death = run.event("death")
    assert death["reason"].startswith("RuntimeError: no dataset here (zoo_roles.py:")
    error = run.event("refused")["error"]
    assert "roles ended while starting: fails_init_" in error
    assert "RuntimeError: no dataset here" in error
    run.event("end")


@BOTH
def test_what_keeps_many_roles_from_starting_is_said_once(controller, mode):
    run = controller(mode, role("FailsStart", 5))
    run.ready()
    run.do(do="configure")
    run.order(do="start")
    events = [run.event_any() for _ in range(6)]
    (error,) = [event["error"] for event in events if event["event"] == "error"]
    assert error.count("ValueError: port 80 is taken") == 1
    assert re.fullmatch(
        r"'fails_start_\w+', 'fails_start_\w+', 'fails_start_\w+' and 2 more failed on "
        r"StartService: ValueError: port 80 is taken \(zoo_roles\.py:\d+ in _start\)\.",
        error,
    )
    run.finish()


def test_a_role_whose_module_is_missing_leaves_its_error_behind(controller):
    run = controller("process", {"service_type": "ghost", "target": "no_such_module:Ghost"})
    assert re.fullmatch(
        r"exit code 1: ModuleNotFoundError: No module named 'no_such_module'"
        r" \(<frozen importlib._bootstrap>:\d+ in _find_and_load_unlocked\)",
        run.event("death")["reason"],
    )


@BOTH
def test_a_role_that_never_registers_is_named_when_time_is_up(controller, mode):
    for timeout_s in (0.5, 5, 30):  # a slow machine may take longer to register the other
        run = controller(mode, role("Idle"), role("HangsInit"), timeout_s=timeout_s)
        error = run.event("refused")["error"]
        run.event("end")
        assert run.process.wait(60) == 0
        missing = error.partition("See")[0]
        if "idle_" not in missing:
            break
    assert missing.startswith(f"not registered within {timeout_s:g} s: hangs_init_")
    assert "idle_" not in missing


@BOTH
def test_a_step_that_fails_is_reported_with_service_and_reason(controller, mode):
    run = controller(mode, role("FailsStart"))
    run.ready()
    run.do(do="configure")
    run.order(do="start")
    events = {event["event"]: event for event in (run.event_any(), run.event_any())}
    assert "ValueError: port 80 is taken" in events["error"]["error"]
    assert "fails_start_" in events["error"]["error"]
    assert events["death"]["reason"].startswith("ValueError: port 80 is taken")
    assert run.notes(run.one("fails_start")[0])[0] == "seed 5"


def test_a_failure_of_a_role_that_is_not_required_does_not_stop_the_others(controller):
    run = controller("process", role("Idle"), role("FailsInit", required=False))
    assert run.event("death")["required"] is False
    run.ready()
    assert run.do(do="configure") == {}
    run.finish()


def test_a_command_to_a_role_that_dies_meanwhile_fails_at_once(controller):
    run = controller("process", role("Idle"))
    run.ready()
    service_id, _ = run.one("idle")
    run.order(do="ask", target=service_id, what="exit", timeout_s=60)
    assert run.event("death")["reason"] == "exit code 7"
    assert f"{service_id} is gone: exit code 7" in run.event("error", 30)["error"]
    run.finish()


def test_a_busy_role_is_not_taken_for_dead_and_a_blocked_one_is(controller):
    run = controller("process", role("Idle", 2))
    run.ready()
    busy, blocked = run.services
    run.order(do="ask", target=busy, what="burn")
    assert b"busy" in run.process.stderr.readline()
    (run.run_dir / "enough").touch()
    assert run.event("done")["result"] == {}
    began_ns = time.monotonic_ns()
    run.order(do="ask", target=blocked, what="block", seconds=100, timeout_s=100)
    death = run.event("death")
    assert death["service_id"] == blocked
    assert death["reason"].endswith("its process sleeps")
    assert (death["mono_ns"] - began_ns) / 1e9 < NOTICED_S
    run.event("error")
    run.finish()


def test_a_controller_that_was_busy_itself_blames_nobody(controller):
    run = controller("process", role("Idle", 2))
    run.ready()
    run.do(do="block", seconds=3)
    assert len(run.services) == 2
    for service_id in run.services:
        assert run.do(do="ask", target=service_id, what="facts")["lost"] == []
    run.finish()


def test_a_role_that_will_not_stop_is_killed_within_the_bound(controller):
    run = controller("process", role("HangsStop"), role("Idle"))
    run.ready()
    stubborn, pid = run.one("hangs_stop")
    # Well before its heartbeats are missed, which would end it too.
    took_s = run.do(do="stop", timeout_s=0.3)["took_s"]
    assert took_s < 50, "it would have slept for 60 s"
    assert gone_within([pid], GONE_S)
    assert run.notes(run.one("idle")[0]) == ["stop", "cleanup"]
    assert f"killed {stubborn}, which did not stop" in run.finish()


def test_no_role_outlives_a_killed_controller_and_each_cleans_up(controller):
    run = controller("process", role("Idle", 3), role("HangsStop"), term_limit_s=4.0, looks=3_000)
    run.ready()
    pids = [pid for _, pid in run.services.values()]
    run.process.kill()
    assert gone_within(pids, GONE_S), [sample_process(pid) for pid in pids]
    for service_id, (kind, _) in run.services.items():
        if kind == "idle":
            assert run.notes(service_id) == ["stop", "cleanup"]
    assert list(run.tmpdir.iterdir()) == [], "the roles tidy up for it"


def test_roles_of_a_controller_that_crashes_end_whole_although_each_of_its_threads_tells_them(
    controller,
):
    run = controller("process", role("Idle", 3), looks=3_000)
    run.ready()
    pids = [pid for _, pid in run.services.values()]
    run.order(do="crash")
    assert run.process.wait(60) == 1
    assert gone_within(pids, GONE_S)
    assert [run.notes(sid) for sid in run.services] == [["stop", "cleanup"]] * 3
    assert list(run.tmpdir.iterdir()) == []


def test_two_runs_at_once_do_not_meet(controller):
    first, second = (controller("process", role("Idle", 2)) for _ in range(2))
    for run in (first, second):
        run.ready()
    first.do(do="stop")
    first.finish()
    for service_id in second.services:
        assert second.do(do="ask", target=service_id, what="facts")["lost"] == []
    second.finish()


def test_a_long_path_for_temporary_files_does_not_keep_roles_from_their_bus(controller, tmp_path):
    deep = tmp_path / ("d" * 90)
    run = controller("process", role("Idle"), tmpdir=deep)
    run.ready()
    run.finish()
    assert list(deep.iterdir()) == []


def test_roles_hold_no_file_of_their_parent(controller):
    run = controller("process", role("Idle"))
    run.ready()
    fds = run.do(do="ask", target=run.one("idle")[0], what="facts")["fds"]
    assert fds["0"] == "/dev/null"
    assert fds["1"] == fds["2"] == str(run.run_dir / "logs/steelyard.log")
    parent = Path(f"/proc/{run.process.pid}/fd")
    theirs = set(links_of(parent))
    shared = {link for link in fds.values() if link in theirs and not link.startswith("anon_")}
    shared -= {"/dev/null", str((parent / "2").readlink())}
    assert len(shared) == 1, "the pipe of its last words, and nothing else"
    assert shared.pop().startswith("pipe:")
    run.finish()


def test_only_warnings_reach_the_terminal_and_the_log_names_who_spoke(controller):
    run = controller("process", role("Idle"))
    run.ready()
    service_id, _ = run.one("idle")
    run.do(do="ask", target=service_id, what="print")
    terminal = run.finish()
    assert f"WARNING {service_id}: words for the terminal" in terminal
    assert "words on stdout" not in terminal
    log = run.log()
    assert "words on stdout" in log
    assert f"WARNING {service_id} steelyard.service" in log


def test_idle_roles_cost_next_to_nothing(controller):
    run = controller("process", role("Idle", 4))
    run.ready()
    pids = [pid for _, pid in run.services.values()]
    before = [sample_process(pid).cpu_ticks for pid in pids]
    time.sleep(2)
    used = [sample_process(pid).cpu_ticks - was for pid, was in zip(pids, before, strict=True)]
    # On a fast machine they take 0.3 % of a core each; one that polls takes all of it.
    assert sum(used) <= 0.05 * 2 * 100 * len(pids), "5 % of a core each, in ticks of 10 ms"
    run.finish()
