"""The clock is set two hours ahead while a fleet is at work, and back: no time gets longer by that.

A coordinator asks for the wall clock once and counts by the monotonic one from then on. Keys end by
the wall clock on purpose: what ends in between is refused as long as the clock is ahead.
"""

import time

import pytest
from chaos_fleet import report, said, sqlite_rows
from fleet_service import FleetService, wait_for
from stepped_clock import MachineClock, SteppedClock

from steelyard.runtime.fleet.service_http import ServiceRefusedError

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(300)]
FLAGS = (
    "--slots", "6", "--engine-option", "local.detect=false", "--engine-option",
    "local.heartbeat_s=0.5", "--rate", "1000", "--pass-env", "STEPPED_CLOCK",
)  # fmt: skip


@pytest.fixture(params=[SteppedClock, MachineClock])
def clock(request, tmp_path):
    clock = SteppedClock(tmp_path) if request.param is SteppedClock else MachineClock()
    yield clock
    clock.close()


def shell(name, text, **more):
    steady = {"first_s": 2.0, "factor": 1.0, "max_s": 2.0, "jitter": 0.0}
    return {"task_id": name, "kind": "command", "payload": {"shell": text}, "backoff": steady,
            **more}  # fmt: skip


def fails_once(place, name):
    """Return a program that fails, then does not; it says when it begins, by no clock of ours."""
    now = "cut -d' ' -f1 /proc/uptime"
    return f"echo {name} $({now}) | tr -d . >> {place}/begun; mkdir {place}/{name}"


def gap_s(place, name):
    first, second = said(place / "begun")[name]
    return (second - first) / 100


def test_a_clock_that_is_set_ahead_and_back_changes_no_wait(clock, tmp_path, capsys):
    service = FleetService(tmp_path, *FLAGS, environ=clock.environ)
    try:
        with service.client() as client:
            key = client.create_key("short", "reader", days=clock.ahead_s / 2 / 86_400)["token"]
            early = [
                shell("runs", "sleep 4; echo done"),
                shell("ends", "sleep 600", timeout_s=3),
                shell("again", f"{fails_once(tmp_path, 'again')} || exit 0; exit 1", retries=1),
            ]
            client.submit(early)
            wait_for(lambda: said(tmp_path / "begun")["again"], what="a failure")
            clock.set_ahead()
            late = shell("late", f"{fails_once(tmp_path, 'late')} || exit 0; exit 1", retries=1)
            client.submit([late])
            time.sleep(0.7)  # everybody has looked at the clock: workers speak twice a second
            with service.client(key=key) as short, pytest.raises(ServiceRefusedError) as refused:
                short.tasks()
            assert refused.value.status == 401
            clock.set_right()
            begun_s = time.monotonic()
            wait_for(lambda: len(said(tmp_path / "begun")["late"]) == 2, what="its second try")
            with service.client(key=key) as short:
                short.tasks()
            client.submit([shell("after", "echo after")])
            ended = {t["spec"]["task_id"]: t for t in client.wait(
                "runs", "ends", "again", "late", "after", timeout_s=90)}  # fmt: skip
            took_s = time.monotonic() - begun_s
        assert service.stop() == 0
    finally:
        service.kill()
    states = {name: each["state"] for name, each in ended.items()}
    assert states.pop("ends") == "failed"
    assert set(states.values()) == {"completed"}, states
    assert ended["ends"]["reason"] == "ran longer than its 3 s"
    # What is wrong here is wrong by hours, or not waited for at all.
    assert 2.9 < ended["ends"]["outcome"]["seconds"] < 300
    assert ended["runs"]["attempt"] == 1
    waits = {name: gap_s(tmp_path, name) for name in ("again", "late")}
    assert all(1.9 < wait < 300 for wait in waits.values()), waits
    rows = sqlite_rows(service.directory.parent / "fleet.ledger.sqlite")
    assert rows("SELECT epoch FROM fleet_leader") == [(1,)], "nobody lost the lead"
    names = [name for (name,) in rows("SELECT name FROM fleet_events")]
    assert "worker_disconnected" not in names[:-2]
    assert names.count("worker_failed") == 0
    report(capsys, type(clock).__name__, waits=waits, **{"all done after": f"{took_s:.1f} s"})


def test_a_coordinator_that_starts_in_a_wrong_hour_leaves_no_wait_of_hours(tmp_path):
    """It is killed while a task waits for its next try; the next one's clock is right again."""
    clock = SteppedClock(tmp_path)
    clock.set_ahead()
    first = FleetService(tmp_path, *FLAGS, environ=clock.environ)
    with first.client() as client:
        again = f"{fails_once(tmp_path, 'again')} || exit 0; exit 1"
        client.submit([shell("again", again, retries=1), shell("held", "sleep 1; echo held")])
        wait_for(lambda: client.attempts("again"), what="a failure")
    first.kill()
    clock.set_right()
    second = FleetService(tmp_path, *FLAGS, environ=clock.environ)
    try:
        with second.client(key=first.key) as client:
            ended = client.wait("again", "held", timeout_s=90)
        assert second.stop() == 0
    finally:
        second.kill()
    assert {each["state"] for each in ended} == {"completed"}
