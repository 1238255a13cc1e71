"""A journal has each event of the ledger once, in order, whoever dies on the way."""

import pytest
from ledger_rig import happened, leading, step
from sqlalchemy import text

from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_relay import AT_ONCE, Relay, journal_parts
from steelyard.runtime.fleet.ports import Change, LostLeadershipError
from steelyard.runtime.journal import JournalReader


def relay_of(ledger, directory):
    return Relay(ledger, directory, "fleet", SystemClock())


def journal(directory):
    return [
        (e.type, e.payload["seq"], e.payload["arguments"])
        for e in JournalReader(directory).events("fleet")
        if e.type.startswith("fleet.")
    ]


def ledger_s(ledger):
    events = LedgerQueries(ledger.database).events(limit=10_000)
    return [(f"fleet.{e.name}", e.seq, e.arguments) for e in events]


def test_what_happened_is_published_once_in_order(ledger, tmp_path):
    relay = relay_of(ledger, tmp_path / "journal")
    assert relay.publish() == 0
    ledger.commit(step(1))
    assert relay.publish() == 3
    assert relay.publish() == 0
    ledger.commit(step(2))
    assert relay.publish() == 3
    relay.close()
    assert journal(tmp_path / "journal") == ledger_s(ledger)


def test_a_long_queue_is_published_in_parts(ledger, tmp_path):
    ledger.commit(Change(happened=tuple(happened(str(n)) for n in range(AT_ONCE + 10))))
    relay = relay_of(ledger, tmp_path / "journal")
    assert [relay.publish(), relay.publish(), relay.publish()] == [AT_ONCE, 10, 0]
    relay.close()
    assert journal(tmp_path / "journal") == ledger_s(ledger)


def test_one_that_died_before_its_mark_publishes_nothing_twice(ledger, tmp_path):
    relay = relay_of(ledger, tmp_path / "journal")
    ledger.commit(step(1))
    relay.publish()
    relay.close()
    ledger.database.write(lambda c: c.execute(text("UPDATE fleet_events SET published = 0")))
    ledger.commit(step(2))
    relay = relay_of(ledger, tmp_path / "journal")
    assert relay.publish() == 3
    relay.close()
    assert journal(tmp_path / "journal") == ledger_s(ledger)
    left = "SELECT count(*) FROM fleet_events WHERE published = 0"
    assert ledger.database.read(lambda c: c.execute(text(left)).scalar()) == 0


def test_only_the_leader_publishes(place, tmp_path):
    first = leading(place)
    first.commit(step(1))
    relay = relay_of(first, tmp_path / "journal")
    first.leadership.resign()
    second = leading(place, "second")
    with pytest.raises(LostLeadershipError):
        relay.publish()
    relay.close()
    other = relay_of(second, tmp_path / "journal")
    other.publish()
    other.close()
    assert journal(tmp_path / "journal") == ledger_s(second)
    first.close()
    second.close()


def test_a_journal_has_parts_and_each_event_once_over_all(ledger, tmp_path):
    """A new one is begun where a part is long; the next start goes on in the last."""
    place = tmp_path / "journal"
    for number in range(1, 6):
        relay = Relay(ledger, place, "fleet", SystemClock(), part_bytes=700)
        ledger.commit(step(number))
        assert relay.publish() == 3
        relay.close()
    parts = journal_parts(place)
    assert [path.stem for path in parts][:2] == ["fleet", "fleet-000002"]
    assert len(parts) > 2
    ledger.database.write(lambda c: c.execute(text("UPDATE fleet_events SET published = 0")))
    parts[0].unlink()
    relay = Relay(ledger, place, "fleet", SystemClock(), part_bytes=700)
    assert relay.publish() == 0
    relay.close()
    told = [e.payload["seq"] for e in JournalReader(place).events() if e.type.startswith("fleet.")]
    assert told == sorted(set(told))
    assert told[-1] == LedgerQueries(ledger.database).last_event()


def test_who_died_as_a_part_began_goes_on_from_the_one_before(ledger, tmp_path):
    relay = Relay(ledger, tmp_path, "fleet", SystemClock(), part_bytes=1)
    ledger.commit(step(1))
    relay.publish()
    relay.close()
    assert [path.stem for path in journal_parts(tmp_path)] == ["fleet", "fleet-000002"]
    ledger.database.write(lambda c: c.execute(text("UPDATE fleet_events SET published = 0")))
    again = Relay(ledger, tmp_path, "fleet", SystemClock())
    assert again.publish() == 0
    again.close()
