"""Connections to a server that may go silent."""

import pytest
from ledger_rig import new_place

from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger_database import Database


@pytest.mark.parametrize(("more", "within_ms"), [("", "6000"), ("&tcp_user_timeout=2500", "2500")])
def test_a_server_that_falls_silent_is_noticed_in_seconds(tmp_path, more, within_ms):
    """And in the time that the URL says, where it says one."""
    database = Database(new_place("postgresql", tmp_path) + more, SystemClock())
    asked = database.read(lambda c: c.connection.dbapi_connection.info.get_parameters())
    database.close()
    assert asked["tcp_user_timeout"] == within_ms
    assert int(asked["keepalives_idle"]) + int(asked["keepalives_count"]) <= 6
    assert int(asked["connect_timeout"]) <= 6
