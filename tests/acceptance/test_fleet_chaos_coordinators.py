"""Two served coordinators on one PostgreSQL, 200 tasks, and a leader that is killed, then stopped.

Attempts are real programs that write their fencing tokens down; the database notes who changed
what. Nothing is lost, and each task has one accepted result.
"""

import signal
import time

import psutil
import pytest
from chaos_fleet import Witness, report, said, served, task
from fleet_service import wait_for
from local_rig import gone
from postgres_server import postgres_server

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(400)]
TASKS = 200


@pytest.fixture
def url():
    return postgres_server().new_database()


@pytest.fixture
def serve(url, tmp_path):
    """Start coordinators by name; what still runs at the end is ended."""
    begun = []

    def start(name):
        begun.append(served(tmp_path / name, url))
        return begun[-1]

    yield start
    for each in begun:
        each.signal(signal.SIGCONT)
        each.kill()


def test_a_leader_killed_and_a_leader_stopped_lose_nothing(url, serve, tmp_path, capsys):
    first = serve("a")
    witness = Witness(url)
    others = [serve("b"), serve("c")]
    names = [f"t{n}" for n in range(TASKS)]

    def begun_times():
        begun = said(tmp_path / "begun")
        return len(begun["long"]), len(begun["held"])

    # Under the two that fail one would go on for minutes, and one until a file is there.
    early = [
        task("long", "$(mkdir once || mkdir twice && echo 600 || echo 0)", tmp_path),
        task("held", "$(until [ -e go ]; do sleep 0.05; done; echo 0)", tmp_path),
    ]
    for each in early:
        each["priority"], each["payload"]["cwd"] = 9, str(tmp_path)
    work = [task(name, 0.2, tmp_path) for name in names]
    for each in work[TASKS // 2 :]:
        each["depends_on"] = ["held"]  # there is work left for the last
    with others[0].client(key=first.key) as client:  # it hands on to the one that leads
        client.submit([*early, *work])
    wait_for(lambda: witness.completed() >= 30 and begun_times() == (1, 1), what="a beginning")

    left = [first.process.pid, *(each.pid for each in first.below())]
    first.signal(signal.SIGKILL)
    killed_s = witness.next_write_s(epoch=1)
    assert not gone(left), "workers and attempts end with their coordinator"
    wait_for(lambda: witness.completed() >= 60 and begun_times() == (2, 2), what="going on")
    second, third = sorted(others, key=lambda each: not each.leads(first.key))

    # Its worker and its attempts are not stopped: they go on, and short ones end unheard.
    held = second.below()
    second.signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    wait_for(lambda: said(tmp_path / "ended")["held"], what="an end that nobody hears")
    stopped_s = witness.next_write_s(epoch=2)
    second.signal(signal.SIGCONT)
    begun_s = time.monotonic()
    assert not psutil.wait_procs(held, timeout=90)[1], "the old leader ends what it runs"
    noticed_s = time.monotonic() - begun_s
    assert not second.leads(first.key)
    wait_for(lambda: witness.completed() == TASKS + 2, 150, "the end of all")
    assert third.leads(first.key)

    ended, epochs = witness.judge([*names, "long", "held"], tmp_path)
    assert epochs == 3
    assert ended > TASKS + 2, "nothing came to its end that was not taken"
    assert begun_times() == (3, 3)
    assert len(said(tmp_path / "ended")["long"]) == 1, "the old leader's was ended before its end"
    assert "no longer leads" in second.log()
    assert "Traceback" not in second.log() + third.log()
    assert second.stop() == third.stop() == 0
    report(
        capsys, "two leaders lost", **{"after SIGKILL": f"{killed_s:.1f} s"},
        **{"after SIGSTOP": f"{stopped_s:.1f} s", "noticed": f"{noticed_s:.1f} s after SIGCONT"},
        tasks=TASKS + 2, **{"attempts that came to their end": ended},
    )  # fmt: skip
