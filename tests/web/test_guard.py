"""The guard by itself: who is let in, how often, with how much."""

import asyncio
import json

import pytest

from steelyard.domain.fleet.access import Role
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.audit_log import AuditLog
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import ledger_url_for
from steelyard.web.door import Door
from steelyard.web.guard import Bounds, Guard
from steelyard.web.tickets import Tickets


class SetClock:
    now_ns = 1_800_000_000 * NS_PER_S

    def mono_ns(self):
        return self.now_ns

    wall_ns = mono_ns


class Bench:
    """A guard in front of an app that reads the body and says what key it was handed."""

    def __init__(self, directory, bounds=None):
        self.clock = SetClock()
        self.database = Database(ledger_url_for(directory / "keys.sqlite"), SystemClock())
        self.keys = KeyStore(self.database, self.clock)
        self.audit = AuditLog(directory / "audit.jsonl")
        self.reached = 0
        self.guard = Guard(
            self.app, keys=self.keys, audit=self.audit, clock=self.clock,
            bounds=bounds or Bounds(), door=Door(Tickets(self.clock), self.keys, ()),
        )  # fmt: skip

    def close(self):
        self.audit.close()
        self.database.close()

    async def app(self, scope, receive, send):
        self.reached += 1
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        key = scope["state"]["key"]
        body = json.dumps({"size": size, "name": key.name if key else None}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def ask(self, path="/v1/tasks", *, key=None, address="1.2.3.4", parts=(b"",), headers=()):
        given = list(headers)
        if key is not None:
            given.append((b"authorization", f"Bearer {key}".encode()))
        scope = {
            "type": "http", "method": "POST", "path": path, "headers": given,
            "client": (address, 5), "extensions": {},
        }  # fmt: skip
        messages = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        sent = []

        async def receive():
            if messages:
                return messages.pop(0)
            return await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        await self.guard(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(sent[1]["body"])


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


async def test_a_key_is_handed_on_and_a_stranger_reaches_nothing(bench):
    _, token = bench.keys.create("ann", Role.READER)
    assert (await bench.ask(key=token))[2] == {"size": 0, "name": "ann"}
    assert (await bench.ask())[0] == 401
    assert bench.reached == 1


async def test_two_authorization_headers_are_none(bench):
    _, token = bench.keys.create("ann", Role.READER)
    twice = [(b"authorization", f"Bearer {token}".encode())]
    assert (await bench.ask(key=token, headers=twice))[0] == 401


async def test_health_needs_no_key_and_is_still_rated(tmp_path):
    bench = Bench(tmp_path, Bounds(rate_per_s=1, burst=2))
    answers = [(await bench.ask("/v1/health"))[0] for _ in range(3)]
    assert answers == [200, 200, 429]
    assert (await bench.ask("/v1/health", address="5.6.7.8"))[0] == 200
    bench.close()


async def test_a_key_that_comes_too_often_is_told_when_to_come_again(tmp_path):
    bench = Bench(tmp_path, Bounds(rate_per_s=0.5, burst=3))
    _, token = bench.keys.create("ann", Role.READER)
    _, other = bench.keys.create("bob", Role.READER)
    assert [(await bench.ask(key=token))[0] for _ in range(4)] == [200, 200, 200, 429]
    status, headers, body = await bench.ask(key=token)
    assert (status, headers[b"retry-after"]) == (429, b"3")  # 1 / 0.5 = 2 s, and no second less
    assert "Try again in 2.0 s" in body["next_step"]
    assert (await bench.ask(key=other))[0] == 200
    bench.clock.now_ns += 2 * NS_PER_S
    assert (await bench.ask(key=token))[0] == 200
    bench.close()


async def test_who_guesses_keys_is_soon_not_listened_to(tmp_path):
    bench = Bench(tmp_path, Bounds(failures_per_s=1, failures_burst=3))
    key, token = bench.keys.create("ann", Role.READER)
    guess = f"sty_{key.key_id}_{'x' * 43}"
    assert [(await bench.ask(key=guess))[0] for _ in range(4)] == [401, 401, 401, 429]
    assert (await bench.ask(key=token))[0] == 429  # that address, right or wrong
    assert (await bench.ask(key=token, address="5.6.7.8"))[0] == 200
    bench.clock.now_ns += NS_PER_S
    assert (await bench.ask(key=token))[0] == 200
    bench.close()


async def test_who_guesses_behind_a_proxy_locks_nobody_out_whose_key_was_right_before(tmp_path):
    bench = Bench(tmp_path, Bounds(failures_per_s=1, failures_burst=1))
    key, token = bench.keys.create("ann", Role.READER)
    assert (await bench.ask(key=token))[0] == 200
    assert (await bench.ask(key=f"sty_{key.key_id}_{'x' * 43}"))[0] == 401
    assert (await bench.ask(key=f"sty_{key.key_id}_{'x' * 43}"))[0] == 429
    assert (await bench.ask(key=token))[0] == 200
    bench.close()


async def test_who_shows_a_key_that_was_revoked_is_soon_not_listened_to(tmp_path):
    """Though it was right before: nobody is locked out by it who may come in."""
    bench = Bench(tmp_path, Bounds(failures_per_s=1, failures_burst=1))
    key, token = bench.keys.create("ann", Role.READER)
    assert (await bench.ask(key=token))[0] == 200
    bench.keys.create("bob", Role.ADMIN)
    bench.keys.revoke(key.key_id)
    assert [(await bench.ask(key=token))[0] for _ in range(3)] == [401, 429, 429]
    bench.close()


async def test_one_key_has_so_many_requests_under_way_and_leaves_room_for_others(tmp_path):
    bench = Bench(tmp_path, Bounds(at_once=2))
    _, greedy = bench.keys.create("ann", Role.READER)
    _, other = bench.keys.create("bob", Role.READER)
    held = [asyncio.create_task(bench.ask(key=greedy, parts=())) for _ in range(2)]
    while bench.reached < 2:
        await asyncio.sleep(0)
    status, headers, body = await bench.ask(key=greedy)
    assert (status, headers[b"retry-after"], body["detail"]) == (
        429, b"2", "Too many requests at once")  # fmt: skip
    assert (await bench.ask(key=other))[0] == 200
    for each in held:
        each.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert (await bench.ask(key=greedy))[0] == 200
    bench.close()


async def test_strangers_push_nothing_out_of_the_audit_log(tmp_path):
    """What they are refused is a line as long as these are few, then a number in the next one."""
    bench = Bench(tmp_path, Bounds(strangers_per_s=1, strangers_burst=2))
    _, token = bench.keys.create("ann", Role.READER)
    for number in range(9):
        assert (await bench.ask(address=f"1.2.3.{number}"))[0] == 401
    assert (await bench.ask(key=token))[0] == 200
    bench.clock.now_ns += NS_PER_S
    assert (await bench.ask())[0] == 401
    lines = [json.loads(line) for line in bench.audit.path.read_text().splitlines()]
    assert [(e["status"], e["user"], e.get("left_out", 0)) for e in lines] == [
        (401, "", 0), (401, "", 0), (200, "ann", 0), (401, "", 7)]  # fmt: skip
    bench.close()


async def test_a_body_over_the_bound_is_refused_before_it_is_read_or_as_it_comes(tmp_path):
    bench = Bench(tmp_path, Bounds(body_max_bytes=10))
    _, token = bench.keys.create("ann", Role.READER)
    assert (await bench.ask(key=token, parts=(b"12345", b"67890")))[2]["size"] == 10
    for length in (b"11", b"9" * 400, b"-1", b"ten", b"\xb2"):
        assert (await bench.ask(key=token, headers=[(b"content-length", length)]))[0] == 413
    assert bench.reached == 1
    with pytest.raises(Exception, match="413.*10 bytes") as caught:  # the app's own handler answers
        await bench.ask(key=token, parts=(b"12345", b"67890", b"1"))
    assert caught.value.status_code == 413
    bench.close()


async def test_a_body_that_never_comes_is_not_waited_for(tmp_path):
    bench = Bench(tmp_path, Bounds(body_s=0.05))
    _, token = bench.keys.create("ann", Role.READER)
    with pytest.raises(Exception, match="did not come in time") as caught:
        await bench.ask(key=token, parts=())
    assert caught.value.status_code == 408
    bench.close()


async def test_a_refused_websocket_is_closed_where_it_can_not_be_answered(bench):
    sent = []
    scope = {"type": "websocket", "path": "/v1/events", "headers": [], "client": None,
             "extensions": {}}  # fmt: skip

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await bench.guard(scope, receive, send)
    assert [(m["type"], m["code"]) for m in sent] == [("websocket.close", 1008)]
