"""What is committed is logged with the ids and the attempt that it is about, and nothing else."""

import logging

import pytest
from fleet_host import coordinator, spec, until
from fleet_rig import InstantEngine

from steelyard.app.fleet.event_log import log_events
from steelyard.domain.fleet.hooks import FleetHook
from steelyard.domain.fleet.model import Attempt, Backoff, Ending, Outcome, Task
from steelyard.domain.fleet.states import TaskState
from steelyard.runtime.fleet.ports import Change, Happened

LOGGER = "steelyard.fleet.events"


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, LOGGER)
    return lambda: [
        (r.message, getattr(r, "task_id", ""), getattr(r, "attempt", 0))
        for r in caplog.records
        if r.name == LOGGER
    ]


async def test_a_task_is_followed_from_line_to_line(tmp_path, said):
    def behave(lease, task):
        ending = Ending.FAILED if lease.attempt == 1 else Ending.SUCCEEDED
        return Outcome(ending=ending, error="no", result="a-secret")

    engine = InstantEngine(behave=behave)
    async with coordinator(tmp_path, engine, log_events=True) as fleet:
        payload = {"argv": ["true"], "env": {"TOKEN": "a-secret"}}
        backoff = Backoff(first_s=0.01, jitter=0.0)
        await fleet.submit([spec("t", retries=1, payload=payload, backoff=backoff)])
        await fleet.ended(["t"])
        await until(lambda: ("task_completed", "t", 2) in said())
    assert [line for line in said() if line[1]] == [
        ("task_created", "t", 0), ("task_assigned", "t", 1), ("task_started", "t", 1),
        ("attempt_ended: failed", "t", 1), ("task_assigned", "t", 2), ("task_started", "t", 2),
        ("attempt_ended: succeeded", "t", 2), ("task_completed", "t", 2),
    ]  # fmt: skip
    assert "a-secret" not in str(said())


async def test_the_log_of_a_program_is_its_own(tmp_path, said):
    async with coordinator(tmp_path) as fleet:
        await fleet.submit([spec("t")])
        await fleet.ended(["t"])
    assert said() == []


def test_an_attempt_that_started_and_ended_beside_the_next_lease_keeps_its_number(said):
    task = Task(spec=spec("t"), state=TaskState.LEASED, attempt=2, token=9)
    over = Attempt(task_id="t", attempt=1, token=8, worker_id="w", leased_ns=1,
                   outcome=Outcome(ending=Ending.FAILED))  # fmt: skip
    names = {"task_id": "t", "worker_id": "w"}
    happened = tuple(
        Happened(at_ns=1, name=str(name), arguments=names)
        for name in (FleetHook.TASK_STARTED, FleetHook.TASK_ASSIGNED)
    )
    log_events(Change(tasks=(task,), attempts=(over,), happened=happened), 0.0)
    assert said() == [
        ("task_started", "t", 1), ("attempt_ended: failed", "t", 1), ("task_assigned", "t", 2),
    ]  # fmt: skip


def test_nothing_is_made_of_lines_that_nobody_wants(caplog):
    caplog.set_level(logging.WARNING, LOGGER)
    log_events(Change(happened=(Happened(at_ns=1, name="x", arguments={}),)), 0.0)
    assert caplog.records == []
