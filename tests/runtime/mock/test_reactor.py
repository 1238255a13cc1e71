"""The reactor: deadlines are kept, in order, alone and inside an asyncio loop."""

import asyncio
import time

from steelyard.runtime.mock.reactor import Reactor

MS = 1_000_000


def test_actions_run_in_order_of_their_deadlines() -> None:
    """Not before they are due; equal deadlines keep the order of the calls."""
    reactor = Reactor()
    ran: list[tuple[str, int]] = []
    base_ns = time.monotonic_ns() + 5 * MS

    def note(name: str, due_ns: int) -> None:
        reactor.call_at(due_ns, lambda now_ns: ran.append((name, now_ns - due_ns)))

    note("c", base_ns + 2 * MS)
    note("a", base_ns)
    note("b", base_ns)
    reactor.call_at(base_ns + 3 * MS, lambda _now_ns: reactor.stop())
    reactor.run()
    reactor.close()
    assert [name for name, _late_ns in ran] == ["a", "b", "c"]
    assert all(late_ns >= 0 for _name, late_ns in ran)


async def test_an_asyncio_loop_can_carry_it() -> None:
    """Watched by a loop, deadlines far below its own resolution are kept."""
    reactor = Reactor()
    loop = asyncio.get_running_loop()
    loop.add_reader(reactor.fileno(), reactor.turn)
    done = loop.create_future()
    due_ns = time.monotonic_ns() + 3 * MS
    reactor.call_at(due_ns, done.set_result)
    reactor.turn()
    now_ns = await asyncio.wait_for(done, 60)
    loop.remove_reader(reactor.fileno())
    reactor.close()
    assert now_ns >= due_ns
