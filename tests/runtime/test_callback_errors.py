"""An exception in a callback of a loop ends who answers for the callback, and nobody else."""

import asyncio
import logging

import pytest
import uvloop
from zoo_run import BOTH, role

from steelyard.runtime.callback_errors import SAID_MAX, answering, callback_error, watch_callbacks

RAISED = "ZeroDivisionError: in a callback (zoo_strays.py:"
STRAYS = role("Strays", target="zoo_strays:Strays")


def crash():
    raise ZeroDivisionError("in a callback")


@pytest.mark.parametrize(
    ("context", "counts"),
    [
        ({"exception": ValueError(), "handle": 1}, True),
        ({"exception": OSError(), "handle": 1}, True),
        ({"exception": ValueError(), "protocol": 1, "transport": 1}, True),
        ({"exception": ConnectionResetError(), "protocol": 1, "transport": 1}, False),
        ({"exception": ValueError(), "transport": 1}, False),
        ({"exception": ValueError(), "task": 1}, False),
        ({"exception": ValueError(), "task": 1, "handle": 1}, False),
        ({"exception": ValueError(), "future": 1}, False),
        ({"exception": OSError(), "socket": 1}, False),
        ({"exception": ValueError(), "asyncgen": 1}, False),
        ({"exception": asyncio.CancelledError(), "handle": 1}, False),
        ({"exception": ValueError()}, False),
        ({"message": "Task was destroyed but it is pending!", "task": 1}, False),
    ],
)
def test_only_what_a_callback_raised_counts(context, counts):
    assert (callback_error(context) is not None) is counts


def test_a_callback_is_told_to_whom_it_was_set_by_and_else_to_the_watcher():
    told = []

    async def begin(name):
        with answering(lambda error: told.append(name) or True):
            asyncio.get_running_loop().call_later(0.001, crash)
            asyncio.ensure_future(later())  # noqa: RUF006  it ends before the loop

    async def later():
        await asyncio.sleep(0.002)
        asyncio.get_running_loop().call_soon(crash)

    async def main():
        watch_callbacks(lambda error: told.append("watcher") or True)
        watch_callbacks(lambda error: told.append("another") or True)
        await asyncio.gather(begin("a"), begin("b"))
        asyncio.get_running_loop().call_soon(crash)
        async with asyncio.timeout(60):
            while len(told) < 5:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)

    uvloop.run(main())
    assert sorted(told) == ["a", "a", "b", "b", "watcher"]


def test_what_changes_nothing_any_more_is_logged_a_bounded_number_of_times(caplog):
    async def main():
        loop = asyncio.get_running_loop()
        watch_callbacks(lambda error: False)
        for _ in range(3 * SAID_MAX):
            loop.call_soon(crash)
        await asyncio.sleep(0.01)
        loop.call_exception_handler({"message": "something else"})

    with caplog.at_level(logging.WARNING):
        uvloop.run(main())
    texts = [record.message for record in caplog.records]
    assert sum("Exception in callback" in text for text in texts) == SAID_MAX
    assert sum("what more raise is not logged" in text for text in texts) == 1
    assert "something else" in texts[-1]


@pytest.mark.acceptance
@BOTH
@pytest.mark.parametrize("what", ["soon", "timer", "reader", "done", "thread", "protocol"])
def test_a_callback_that_raises_ends_its_role_with_its_error(controller, mode, what):
    run = controller(mode, STRAYS, role("Idle"))
    run.ready()
    culprit, _ = run.one("strays")
    witness, _ = run.one("idle")
    run.order(do="ask", target=culprit, what=what)
    events = {event["event"]: event for event in (run.event_any(), run.event_any())}
    death = events.pop("death")
    assert RAISED in death["reason"]
    assert (death["service_id"], death["required"]) == (culprit, True)
    assert list(events) in (["done"], ["error"]), "it may have ended before it could answer"
    assert run.do(do="ask", target=witness, what="facts")["lost"] == ["strays"]
    run.finish()
    assert run.notes(culprit) == ["cleanup"]
    if mode == "process":
        assert f"ERROR {culprit} steelyard.service.{culprit}: failed: {RAISED}" in run.log()
        assert run.log().count("Exception in callback") <= SAID_MAX


@pytest.mark.acceptance
@BOTH
def test_what_a_loop_reports_besides_ends_no_role(controller, mode):
    run = controller(mode, STRAYS)
    run.ready()
    service_id, _ = run.one("strays")
    assert run.do(do="ask", target=service_id, what="harmless") == {}
    assert run.do(do="ask", target=service_id, what="facts")["lost"] == []
    terminal = run.finish()
    assert "Task exception was never retrieved" in terminal
    assert "Unhandled exception in client_connected_cb" in terminal
    assert "Fatal error on transport" in terminal
    assert run.notes(service_id) == ["stop", "cleanup"]


@pytest.mark.acceptance
@BOTH
def test_a_callback_that_raises_while_a_role_is_configured_refuses_the_run(controller, mode):
    run = controller(mode, role("StrayConfigure", target="zoo_strays:StrayConfigure"))
    run.ready()
    run.order(do="configure")
    events = {event["event"]: event for event in (run.event_any(), run.event_any())}
    assert RAISED in events["death"]["reason"]
    assert RAISED in events["error"]["error"]
    run.finish()
