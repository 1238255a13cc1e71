"""`kill -9` at any moment: what was acknowledged is there, and nothing is there by halves.

`STEELYARD_LEDGER_KILLS` says how often; 200 times on SQLite and for 45 seconds on PostgreSQL else.
"""

import os
import random
import sys
import time
from itertools import count

import pytest
from ledger_children import ANSWER_S, Nursery, width
from ledger_rig import DATABASES, new_place
from sqlalchemy import func, select

from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_tables import ATTEMPTS, DECISIONS, EVENTS, TASKS

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
KILLS = 200
POSTGRES_S = 45.0


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
    asked = os.environ.get("STEELYARD_LEDGER_KILLS")
    kills = int(asked) if asked else KILLS
    ends_s = time.monotonic() + (POSTGRES_S if database == "postgresql" and not asked else 1e9)
    place = new_place(database, tmp_path)
    nursery = Nursery(place)
    acknowledged = done = unacknowledged = 0
    begun_s, rounds = time.monotonic(), count()
    for _ in range(kills):
        pid = nursery.born()
        assert nursery.acks.poll(ANSWER_S), "no coordinator came to commit"
        time.sleep(rng.uniform(0, 0.05))
        nursery.kill(pid)
        acknowledged = newest(nursery.acks, acknowledged)
        done = check(place, acknowledged)
        unacknowledged += done - acknowledged
        acknowledged = done
        next(rounds)
        if time.monotonic() > ends_s:
            break
    nursery.close()
    number = next(rounds)
    spent_s = time.monotonic() - begun_s
    sys.stdout.write(
        "\n| ledger | kills | commits | killed between commit and answer | lost | s |\n"
        "|---|---:|---:|---:|---:|---:|\n"
        f"| {database} | {number} | {done} | {unacknowledged} | 0 | {spent_s:.0f} |\n"
    )
    assert done > number
