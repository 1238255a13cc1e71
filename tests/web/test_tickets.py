"""A ticket is good once, for seconds, and for whom it was given."""

import pytest

from steelyard.domain.fleet.access import AccessKey, Role
from steelyard.kernel.errors import UsageError
from steelyard.web.door import Door, origin_of
from steelyard.web.problems import RequestError
from steelyard.web.tickets import PREFIX, PROTOCOL, TTL_S, WAITING_OF_KEY_MAX, Tickets

KEY = AccessKey(key_id="k", name="ann", role=Role.READER)
OTHER = AccessKey(key_id="o", name="bob", role=Role.READER)


class Clock:
    def __init__(self):
        self.ns = 0

    def mono_ns(self):
        return self.ns

    def wall_ns(self):
        return self.ns


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tickets(clock):
    return Tickets(clock)


def shown(made):
    protocol, ticket = made.protocols
    assert protocol == PROTOCOL
    return ticket.removeprefix(PREFIX)


def test_a_ticket_stands_for_its_key_once(tickets):
    one, two = shown(tickets.give(KEY)), shown(tickets.give(OTHER))
    assert one != two
    assert tickets.take(two) is OTHER
    assert tickets.take(one) is KEY
    assert tickets.take(one) is None
    assert tickets.take("") is None
    assert tickets.take("\udce9") is None


def test_a_ticket_is_too_late_after_its_time(tickets, clock):
    first, second = shown(tickets.give(KEY)), shown(tickets.give(KEY))
    clock.ns = int(TTL_S * 1e9) - 1
    assert tickets.take(first) is KEY
    clock.ns += 1
    assert tickets.take(second) is None


def test_what_is_not_used_is_forgotten_and_one_key_pushes_out_only_its_own(tickets, clock):
    others = shown(tickets.give(OTHER))
    first = shown(tickets.give(KEY))
    for _ in range(WAITING_OF_KEY_MAX):
        last = shown(tickets.give(KEY))
    assert tickets.take(first) is None
    assert tickets.take(last) is KEY
    assert tickets.take(others) is OTHER
    clock.ns = int(TTL_S * 1e9)
    tickets.give(KEY)
    assert len(tickets._kept) == 1


def test_no_ticket_is_kept_as_it_is(tickets):
    ticket = shown(tickets.give(KEY))
    assert ticket.encode() not in tickets._kept
    assert ticket not in repr(tickets._kept)


@pytest.mark.parametrize(
    ("origin", "host", "may"),
    [
        ("", "fleet:7600", True),
        ("http://fleet:7600", "fleet:7600", True),
        ("HTTPS://Fleet:7600", "fleet:7600", True),
        ("https://board.example", "fleet:7600", True),
        ("http://board.example", "fleet:7600", False),
        ("https://board.example.evil", "fleet:7600", False),
        ("http://fleet:7601", "fleet:7600", False),
        ("null", "fleet:7600", False),
        ("http://evil", "", False),
    ],
)
def test_only_pages_of_this_host_or_of_named_origins_come_in(tickets, origin, host, may):
    door = Door(tickets, None, ["https://Board.example/"])
    headers = [(b"origin", origin.encode())] if origin else []
    scope = {"headers": [*headers, *([(b"host", host.encode())] if host else [])]}
    if may:
        door.check_origin(scope)
        return
    with pytest.raises(RequestError) as caught:
        door.check_origin(scope)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "text", ["", "*", "board.example", "ftp://x", "https://x/path", "https://u@x"]
)
def test_what_is_no_origin_can_not_be_allowed(text):
    with pytest.raises(UsageError):
        origin_of(text)
