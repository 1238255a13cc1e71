"""Connections to a server that may go silent, and that are no more than so many."""

import threading
from contextlib import ExitStack

import pytest
from ledger_rig import DATABASES, new_place
from sqlalchemy import text

from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import ledger_url_for
from steelyard.runtime.fleet.ports import LedgerGoneError


@pytest.mark.parametrize(("more", "within_ms"), [("", "6000"), ("&tcp_user_timeout=2500", "2500")])
def test_a_server_that_falls_silent_is_noticed_in_seconds(tmp_path, more, within_ms):
    """And in the time that the URL says, where it says one."""
    database = Database(new_place("postgresql", tmp_path) + more, SystemClock())
    asked = database.read(lambda c: c.connection.dbapi_connection.info.get_parameters())
    database.close()
    assert asked["tcp_user_timeout"] == within_ms
    assert int(asked["keepalives_idle"]) + int(asked["keepalives_count"]) <= 6
    assert int(asked["connect_timeout"]) <= 6


def one(connection):
    return connection.execute(text("SELECT 1")).scalar_one()


class Full:
    """A database whose connections are all at work, until the block ends."""

    def __init__(self, place, patience_s):
        self.database = Database(ledger_url_for(place), SystemClock(), patience_s=patience_s)
        self.over = ExitStack()

    def __enter__(self):
        pool = self.database._engine.pool
        for _ in range(pool.size() + pool._max_overflow):
            self.over.enter_context(self.database._engine.connect())
        return self.database

    def __exit__(self, *_):
        self.over.close()
        self.database.close()


@pytest.mark.parametrize("kind", DATABASES)
def test_no_free_connection_is_told_like_a_database_that_does_not_answer(tmp_path, kind):
    full = Full(new_place(kind, tmp_path), patience_s=0.1)
    with (
        full as database,
        pytest.raises(LedgerGoneError, match="all connections to it that we may have are at work"),
    ):
        database.read(one)


def test_a_connection_that_becomes_free_in_time_is_taken(tmp_path):
    """Also when it took longer than one wait of the pool's."""
    full = Full(new_place("sqlite", tmp_path), patience_s=60.0)
    with full as database:
        database._engine.pool._timeout = 0.01
        is_waiting = threading.Event()
        pause = database.pause

        def noted(seconds):
            if seconds:
                is_waiting.set()
            pause(seconds)

        database.pause = noted
        found = []
        thread = threading.Thread(target=lambda: found.append(database.read(one)))
        thread.start()
        assert is_waiting.wait(60)
        full.over.close()
        thread.join(60)
        assert found == [1]
