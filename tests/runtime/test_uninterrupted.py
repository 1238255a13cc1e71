"""An end that has begun is done whole, however often somebody cancels."""

import asyncio

import pytest

from steelyard.runtime.uninterrupted import to_its_end


async def test_cancelling_waits_for_the_end_of_the_work():
    done, may_end = [], asyncio.Event()

    async def work():
        await may_end.wait()
        done.append("all of it")

    task = asyncio.create_task(to_its_end(work()))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.sleep(0.01)
    assert (task.done(), done) == (False, [])
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["all of it"]


async def test_what_the_work_raises_is_raised():
    async def work():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await to_its_end(work())
