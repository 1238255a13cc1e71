"""A leader that loses its PostgreSQL without a word: packets vanish, no connection is reset.

The leader is in a network namespace, its database and another coordinator are outside. What it does
while it hears nothing counts for nothing, and when it hears again it stands by.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from chaos_fleet import Witness, report, said, served, task
from fleet_service import wait_for
from partition import cable
from postgres_server import PostgresServer, need_postgres

pytestmark = [
    pytest.mark.acceptance, pytest.mark.network, pytest.mark.needs_root, pytest.mark.timeout(400)
]  # fmt: skip
TASKS = 60
SUPPORT = Path(__file__).parents[1] / "support"
_COMMITS = """
import sys, time
sys.path.insert(0, sys.argv[2])
from ledger_rig import leading, step
from steelyard.runtime.fleet.ports import LedgerGoneError

ledger = leading(sys.argv[1], patience_s=1.0)
ledger.commit(step(1))
print("committed", flush=True)
sys.stdin.readline()
begun_s = time.monotonic()
try:
    ledger.commit(step(2))
except LedgerGoneError as error:
    print(time.monotonic() - begun_s, error, flush=True)
"""


@pytest.fixture(scope="module")
def link():
    need_postgres()
    with cable() as link:
        yield link


@pytest.fixture(scope="module")
def server(link):
    return PostgresServer(link.outside)


def test_a_leader_that_is_cut_off_is_replaced_and_stands_by_when_it_is_back(
    link, server, tmp_path, capsys
):
    url = server.new_database()
    inside = served(tmp_path / "inside", server.over_tcp(url), within=link.within)
    witness = Witness(url)
    outside = served(tmp_path / "outside", url)
    try:
        names = [f"t{n}" for n in range(TASKS)]
        once = task("long", "$(mkdir once && echo 600 || echo 0)", tmp_path)
        once["payload"]["cwd"] = str(tmp_path)
        with outside.client(key=inside.key) as client:
            client.submit([once, *(task(name, 0.3, tmp_path) for name in names)])
        wait_for(lambda: witness.completed() >= 10 and said(tmp_path / "begun")["long"])
        assert inside.leads(inside.key)
        held = inside.below()

        link.cut()
        failover_s = witness.next_write_s(epoch=1)
        assert any(each.is_running() for each in held), "it does not know better yet"
        wait_for(lambda: witness.completed() == TASKS + 1, 90, "the end of all")
        link.mend()
        mended_s = time.monotonic()
        # What was sent into the void is sent again at ever longer intervals: up to half a minute.
        assert not psutil.wait_procs(held, timeout=120)[1], "the old leader ends what it runs"
        noticed_s = time.monotonic() - mended_s
        wait_for(lambda: not inside.leads(inside.key), what="one that stands by")
        report(
            capsys, "cut off", failover=f"{failover_s:.1f} s",
            **{"stood by": f"{noticed_s:.1f} s after it was mended"},
        )  # fmt: skip
        again = task("later", 0.1, tmp_path)
        asked = inside.ask("POST", "/v1/tasks", inside.key, {"tasks": [again]})
        assert not asked["items"][0]["refusal"], "it hands on again"
        wait_for(lambda: witness.completed() == TASKS + 2, what="the last one")
        witness.judge([*names, "long", "later"], tmp_path)
        assert outside.stop() == inside.stop() == 0
        assert "Traceback" not in inside.log() + outside.log()
    finally:
        for each in (inside, outside):
            each.signal(signal.SIGCONT)
            each.kill()


def test_a_commit_whose_answer_never_comes_is_given_up_in_seconds(link, server, capsys):
    """By itself TCP would try for a quarter of an hour, and hold a thread of the coordinator."""
    url = server.over_tcp(server.new_database())
    words = [*link.within, sys.executable, "-c", _COMMITS, url, str(SUPPORT)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "committed\n"
            link.cut()
            said_s, _, text = process.communicate("go on\n", timeout=150)[0].partition(" ")
        finally:
            link.mend()
            process.kill()
    assert "does not answer" in text
    assert float(said_s) < 100
    report(capsys, "a commit cut off", **{"given up after": f"{float(said_s):.1f} s"})
