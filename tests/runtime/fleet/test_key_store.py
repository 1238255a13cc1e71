from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from steelyard.domain.fleet.access import Permission, Role
from steelyard.kernel.errors import UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import key_store
from steelyard.runtime.fleet.key_store import FRESH_S, KeyStore
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import ledger_url_for


class SetClock:
    def __init__(self):
        self.now_ns = 1_800_000_000 * NS_PER_S

    def mono_ns(self):
        return self.now_ns

    wall_ns = mono_ns


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def database(place):
    database = Database(ledger_url_for(place), SystemClock())
    yield database
    database.close()


@pytest.fixture
def store(database, clock):
    return KeyStore(database, clock)


def test_a_key_is_recognised_by_its_token_and_by_nothing_else(store):
    key, token = store.create("ann", Role.SUBMITTER, projects=["p"], scopes=[Permission.TASKS_READ])
    assert (key.user, key.projects, key.scopes) == ("ann", ("p",), (Permission.TASKS_READ,))
    other = token[:-1] + ("a" if token[-1] != "a" else "b")
    for _ in range(2):  # the second time from memory
        assert store.recognise(token) == key
        assert store.recognise(other) is None
    assert store.recognise(f"sty_{'a' * 12}_{token[-43:]}") is None
    assert store.recognise("") is None


def test_the_database_has_no_token_in_it(store, database):
    _, token = store.create("ann", Role.ADMIN)
    row = database.read(lambda c: c.execute(text("SELECT * FROM fleet_keys")).one())
    content = b"".join(value if isinstance(value, bytes) else value.encode() for value in row)
    assert b"ann" in content
    assert token.encode() not in content
    assert token[-43:].encode() not in content
    assert len(row.hash) == 32
    assert len(row.salt) == 16


def test_stores_may_be_made_at_once(database, clock):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: KeyStore(database, clock), range(4)))
    _, token = stores[0].create("ann", Role.READER)
    assert stores[3].recognise(token) is not None


def test_a_revoked_key_is_refused_at_once_and_stays_listed(store):
    key, token = store.create("ann", Role.READER)
    assert store.recognise(token) is not None
    assert store.revoke(key.key_id).revoked_ns > 0
    assert store.recognise(token) is None
    assert [k.revoked_ns > 0 for k in store.all_keys()] == [True]
    first = store.revoke(key.key_id).revoked_ns
    assert store.revoke(key.key_id).revoked_ns == first


def test_the_last_key_that_may_make_keys_is_not_revoked(store):
    first, _ = store.create("ann", Role.ADMIN)
    narrow, _ = store.create("bob", Role.ADMIN, projects=["p"])
    with pytest.raises(UsageError, match="last admin's key.*keys create NAME --role admin"):
        store.revoke(first.key_id)
    assert store.revoke(narrow.key_id).revoked_ns > 0
    second, _ = store.create("eve", Role.ADMIN)
    assert store.revoke(first.key_id).revoked_ns > 0
    with pytest.raises(UsageError):
        store.revoke(second.key_id)


def test_a_key_that_nobody_made_can_not_be_revoked(store):
    with pytest.raises(KeyError):
        store.revoke("a" * 12)


def test_a_key_ends_with_its_days(store, clock):
    _, token = store.create("ann", Role.READER, days=1)
    clock.now_ns += 86_399 * NS_PER_S
    assert store.recognise(token) is not None
    clock.now_ns += NS_PER_S
    assert store.recognise(token) is None


def test_a_key_ends_no_later_than_is_said(store, clock):
    end_ns = clock.now_ns + 3600 * NS_PER_S
    assert store.create("ann", Role.READER, ends_by_ns=end_ns)[0].expires_ns == end_ns
    assert store.create("ann", Role.READER, days=1, ends_by_ns=end_ns)[0].expires_ns == end_ns
    sooner, _ = store.create("ann", Role.READER, days=0.01, ends_by_ns=end_ns)
    assert sooner.expires_ns == clock.now_ns + 864 * NS_PER_S


def test_another_coordinators_revocation_is_heard_of_soon(store, database, clock):
    other = KeyStore(database, clock)
    key, token = store.create("ann", Role.READER)
    assert other.recognise(token) is not None
    store.revoke(key.key_id)
    clock.now_ns += int(FRESH_S * NS_PER_S)
    assert other.recognise(token) is None


def test_a_token_that_was_right_once_costs_no_hash(store, monkeypatch):
    _, token = store.create("ann", Role.READER)
    assert not store.is_quick(token)
    assert store.recognise(token) is not None
    assert store.is_quick(token)
    monkeypatch.setattr("steelyard.runtime.fleet.key_store._hash", None)
    assert store.recognise(token) is not None


def test_a_token_is_known_for_as_long_as_its_key_is_valid(store, clock):
    key, revoked = store.create("ann", Role.READER)
    _, ending = store.create("bob", Role.READER, days=1)
    _, lasting = store.create("cay", Role.READER)
    tokens = [revoked, ending, lasting]
    assert not any(map(store.is_known, tokens)), "none was shown yet"
    assert all(map(store.recognise, tokens))
    assert all(map(store.is_known, tokens))
    store.revoke(key.key_id)
    clock.now_ns += 86_400 * NS_PER_S
    assert store.recognise(revoked) is None
    assert list(map(store.is_known, tokens)) == [False, False, True]


def test_keys_outlive_the_process(store, database, clock):
    key, token = store.create("ann", Role.READER)
    assert KeyStore(database, clock).recognise(token) == key


def test_where_there_are_too_many_keys_the_oldest_that_ended_makes_room(store, clock, monkeypatch):
    """So revoking one is what helps, as the refusal says."""
    monkeypatch.setattr("steelyard.runtime.fleet.key_store.KEYS_MAX", 3)
    made = []
    for name in ("a", "b", "c"):
        clock.now_ns += NS_PER_S
        made.append(store.create(name, Role.READER)[0].key_id)
    with pytest.raises(UsageError, match=r"too many keys; got 3\. Revoke some"):
        store.create("d", Role.READER)
    store.revoke(made[1])
    store.revoke(made[0])
    clock.now_ns += NS_PER_S
    _, token = store.create("d", Role.READER)
    assert [key.name for key in store.all_keys()] == ["b", "c", "d"]
    assert store.recognise(token).name == "d"


def test_a_revocation_is_not_undone_by_who_was_reading_the_keys_meanwhile(
    store, database, monkeypatch
):
    key, token = store.create("ann", Role.READER)
    read = key_store._read
    once = [key]

    def read_then_revoke(connection):
        found = read(connection)
        if once:
            store.revoke(once.pop().key_id)
        return found

    monkeypatch.setattr(key_store, "_read", read_then_revoke)
    assert store.recognise(token) is None
    assert not store.is_valid(key.key_id)
