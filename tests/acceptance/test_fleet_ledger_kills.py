"""`kill -9` at any moment: what was acknowledged is there, and nothing is there by halves.

`STEELYARD_LEDGER_KILLS` says how often; 200 times else.
"""

import os
import random
import sys
import time

import pytest
from ledger_children import ANSWER_S, Nursery, width
from ledger_rig import DATABASES, new_place
from sqlalchemy import func, select

from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_tables import ATTEMPTS, DECISIONS, EVENTS, TASKS

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
KILLS = 200


def newest(acks, known):
    """Return the last number that was acknowledged before the end."""
    while acks.poll(0.0):
        known = acks.recv()
    return known


def check(place, acknowledged):
    """Return the number of the last change that is there; all up to it are, whole."""
    ledger = SqlLedger(place)
    done = ledger.load().next_token - 1
    assert acknowledged <= done <= acknowledged + 1
    expected = sum(width(number) for number in range(1, done + 1))
    found = ledger.database.read(
        lambda connection: [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (TASKS, ATTEMPTS, DECISIONS, EVENTS)
        ]
    )
    assert found == [expected + 1, expected, expected, expected]  # 1 is the counter
    assert LedgerQueries(ledger.database).task("counter").spec.priority == done
    ledger.close()
    return done


@pytest.mark.parametrize("database", DATABASES)
def test_whatever_is_killed_when_nothing_acknowledged_is_lost(database, tmp_path):
    rng = random.Random(20261122)  # noqa: S311 -- moments to kill at, no secrets
    kills = int(os.environ.get("STEELYARD_LEDGER_KILLS", KILLS))
    place = new_place(database, tmp_path)
    nursery = Nursery(place)
    acknowledged = done = unacknowledged = 0
    begun_s = time.monotonic()
    for _ in range(kills):
        pid = nursery.born()
        assert nursery.acks.poll(ANSWER_S), "no coordinator came to commit"
        time.sleep(rng.uniform(0, 0.05))
        nursery.kill(pid)
        acknowledged = newest(nursery.acks, acknowledged)
        done = check(place, acknowledged)
        unacknowledged += done - acknowledged
        acknowledged = done
    nursery.close()
    spent_s = time.monotonic() - begun_s
    sys.stdout.write(
        "\n| ledger | kills | commits | killed between commit and answer | lost | s |\n"
        "|---|---:|---:|---:|---:|---:|\n"
        f"| {database} | {kills} | {done} | {unacknowledged} | 0 | {spent_s:.0f} |\n"
    )
    assert done > kills
