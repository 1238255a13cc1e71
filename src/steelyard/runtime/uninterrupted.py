"""Work that a cancellation does not stop half way."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do work whole, for ends that have bounds of their own.

    Raises:
        asyncio.CancelledError: whoever does it was cancelled meanwhile; the work is done by now.
        Exception: what the work raised.
    """
    task, is_cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            is_cancelled = True
    task.result()
    if is_cancelled:
        raise asyncio.CancelledError
