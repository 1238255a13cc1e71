"""Requests that could not be built fail by the plugin's name, beside those that are sent."""

import asyncio

import pytest

from steelyard.domain.bench.records import ErrorKind
from steelyard.runtime.exchange import Exchange, Prepared
from steelyard.runtime.unbuilt import IN_A_ROW_MAX, UnbuiltAside

WHY = "Plugin endpoint 'odd' failed to build a request: ZeroDivisionError."


class Rig:
    """Stands for the transport behind and for the engine in front: notes what each is told."""

    def __init__(self):
        self.sent, self.over, self.reasons, self.cancelled = [], [], [], []
        self.aside = UnbuiltAside(self, self, asyncio.get_running_loop(), self.reasons.append)

    def submit(self, exchange):
        self.sent.append(exchange)

    def finished(self, exchange):
        self.over.append(exchange)

    def cancel_all(self, text):
        self.cancelled.append(text)

    async def open(self, connections):
        """Nothing is opened."""

    async def close(self):
        """Nothing is open."""

    def pass_by(self, *_):
        """Told of what only a real transport needs."""

    end_session = cancel = sweep = set_wall_offset = pass_by


@pytest.fixture
async def rig():
    return Rig()


def built(index=0):
    return Exchange(index, Prepared(0, 0, b"head", b"tail"), b"request", 0)


def unbuilt(index=0):
    return Exchange(index, Prepared(0, 0, b"", b"", refusal=WHY), b"-0", 0)


async def test_what_could_not_be_built_fails_in_the_next_turn_and_is_never_sent(rig):
    one, other = unbuilt(), built()
    rig.aside.submit(one)
    rig.aside.submit(other)
    assert rig.over == []
    await asyncio.sleep(0)
    assert rig.over == [one]
    assert rig.sent == [other]
    assert (one.error, one.error_text, one.request) == (ErrorKind.PLUGIN, WHY, b"")
    assert one.end_ns >= one.submitted_ns > 0


async def test_a_hundred_in_a_row_are_given_up_once_with_the_reason(rig):
    for index in range(IN_A_ROW_MAX + 5):
        rig.aside.submit(unbuilt(index))
    await asyncio.sleep(0)
    assert len(rig.over) == IN_A_ROW_MAX + 5
    assert rig.reasons == [f"100 requests in a row could not be built: {WHY}"]


async def test_one_that_could_be_built_begins_the_count_anew(rig):
    for _ in range(3):
        for index in range(IN_A_ROW_MAX - 1):
            rig.aside.submit(unbuilt(index))
        await asyncio.sleep(0)
        rig.aside.submit(built())
    assert rig.reasons == []


@pytest.mark.parametrize("end", ["cancel_all", "close"])
async def test_none_is_left_without_an_end(rig, end):
    rig.aside.submit(unbuilt())
    ended = rig.aside.cancel_all("over") if end == "cancel_all" else await rig.aside.close()
    assert ended is None
    assert [exchange.error for exchange in rig.over] == [ErrorKind.PLUGIN]
    await asyncio.sleep(0)
    assert len(rig.over) == 1
