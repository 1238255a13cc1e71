"""Decorated functions of every kind: the run lasts as long as their own code."""

import asyncio
import inspect

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.logging import get_active_experiment
from steelyard.app.track.queries import runs
from steelyard.kernel.errors import UsageError


def status(run):
    return run.snapshot().status


def test_a_generator_is_one_run_from_its_first_value_to_its_last():
    seen = []

    @Experiment("gen")
    def train(epochs):
        """Say what train says."""
        seen.append(get_active_experiment())
        for epoch in range(epochs):
            get_active_experiment().log_metric("epoch", epoch)
            yield epoch
        return "done"

    assert inspect.isgeneratorfunction(train)
    assert train.__doc__ == "Say what train says."
    made = train(3)
    assert list(runs()) == [], "nobody asked for a value yet"
    assert next(made) == 0
    (run,) = seen
    assert run.is_running
    assert list(made) == [1, 2]
    assert (status(run), run.snapshot().metrics["epoch"].count) == ("finished", 3)


def test_what_is_sent_thrown_and_returned_goes_through():
    @Experiment("gen")
    def train():
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        return "result"

    def outer():
        return (yield from train())

    made = outer()
    assert (next(made), made.send("sent"), made.throw(KeyError())) == ("first", "sent", "caught")
    with pytest.raises(StopIteration) as stopped:
        next(made)
    assert stopped.value.value == "result"


def test_a_generator_fails_with_what_it_raises_and_is_finished_when_it_is_closed():
    seen = []

    @Experiment("gen")
    def train(*, fails):
        seen.append(get_active_experiment())
        yield 1
        if fails:
            raise ValueError("boom")
        yield 2

    with pytest.raises(ValueError, match="boom"):
        list(train(fails=True))
    closed = train(fails=False)
    next(closed)
    closed.close()
    assert [status(run) for run in seen] == ["failed", "finished"]


def test_generators_in_turn_log_into_their_own_runs_and_the_caller_into_its_own():
    @Experiment("gen")
    def train(name):
        for _ in range(3):
            get_active_experiment().log_metric(name, 1.0)
            yield get_active_experiment()

    with Experiment("outer") as outer:
        for one, other in zip(train("a"), train("b"), strict=True):
            assert one is not other
            assert get_active_experiment() is outer
            outer.log_metric("outer", 1.0)
    assert [list(run.snapshot().metrics) for run in (one, other, outer)] == [
        ["a"], ["b"], ["outer"],
    ]  # fmt: skip
    assert get_active_experiment() is None


async def test_an_async_generator_is_one_run_too():
    seen = []

    @Experiment("gen")
    async def train(epochs):
        seen.append(get_active_experiment())
        for epoch in range(epochs):
            await asyncio.sleep(0)
            get_active_experiment().log_metric("epoch", epoch)
            yield epoch

    assert inspect.isasyncgenfunction(train)
    async with Experiment("outer") as outer:
        found = []
        async for epoch in train(3):
            assert get_active_experiment() is outer
            found.append(epoch)
    assert found == [0, 1, 2]
    (run,) = seen
    assert (status(run), run.snapshot().metrics["epoch"].count) == ("finished", 3)


async def test_async_generators_take_what_is_sent_and_thrown_and_may_be_closed():
    seen = []

    @Experiment("gen")
    async def train():
        seen.append(get_active_experiment())
        got = yield "first"
        try:
            yield got
        except KeyError:
            yield "caught"
        raise ValueError("boom")

    made = train()
    assert await made.asend(None) == "first"
    assert await made.asend("sent") == "sent"
    assert await made.athrow(KeyError()) == "caught"
    with pytest.raises(ValueError, match="boom"):
        await made.asend(None)
    closed = train()
    await anext(closed)
    await closed.aclose()
    assert [status(run) for run in seen] == ["failed", "finished"]


def test_a_class_is_refused_where_it_is_decorated():
    """It would be a function from then on, and `isinstance` of it an error somewhere else."""
    for what in (type("Model", (), {}), 5):
        with pytest.raises(UsageError, match="decorates functions and methods"):
            Experiment("e")(what)
