"""Has kinds of tasks fill in and split what is submitted; none of them holds a coordinator up.

Each submission is prepared in a thread of its own, which is left behind where a kind does not come
back: its task is refused, and what was submitted with it is prepared in another thread.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from steelyard.app.fleet.parts import Parts
from steelyard.app.fleet.submitting import Prepared, named, why_not
from steelyard.domain.fleet.model import TaskSpec
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.runtime.fleet.own_thread import OwnThread

PREPARE_WITHIN_S = 10.0
"""How long a kind may take to prepare one task; the first one of all has it made, too."""
HANGING_MAX = 4
"""Tasks that a kind may hang at before it is asked no more, until it comes back from one."""
SPLIT_MAX = 20_000
"""Tasks that one submission may come to when some of it are split into several."""

Earlier = Callable[[TaskSpec], Sequence[Any]]
_LOOK_S, _STEP_S = 0.5, 0.01


class _Way:
    """How far a thread has come with a submission.

    Attributes:
        at: the next task, by its place.
        kind: whose code runs, since `since_s`; empty while that is our own.
        is_left: nobody waits for it any more, and what it finds is dropped.
    """

    def __init__(self, at: int) -> None:
        self.at, self.kind, self.since_s, self.is_left = at, "", time.monotonic(), False
        self.lock = threading.Lock()

    def enter(self, kind: str) -> None:
        """Begin with the code of a kind; with our own, where it has no name."""
        with self.lock:
            self.kind, self.since_s = kind, time.monotonic()

    def left_s(self) -> float:
        """Return how long nothing need be looked at; never nothing."""
        with self.lock:
            if not self.kind:
                return _LOOK_S
            return max(self.since_s + PREPARE_WITHIN_S - time.monotonic(), _STEP_S)

    def is_late(self, *, leave: bool = False) -> bool:
        """Tell whether a kind has not come back in its time; then it may be left at once."""
        with self.lock:
            is_late = self.kind != "" and time.monotonic() - self.since_s >= PREPARE_WITHIN_S
            self.is_left = self.is_left or (is_late and leave)
            return is_late

    def leave(self) -> None:
        """Have it come to nothing more."""
        with self.lock:
            self.is_left = True


class Preparer:
    """Prepares what is submitted.

    Args:
        parts: has the kinds of tasks.
        earlier: returns the results of earlier tasks like one, the latest first.
    """

    def __init__(self, parts: Parts, earlier: Earlier) -> None:
        self._parts, self._earlier = parts, earlier
        self._ways: set[_Way] = set()

    async def prepared(
        self, specs: Sequence[TaskSpec], now_ns: int, entropy: bytes
    ) -> list[Prepared]:
        """Return the tasks as they are told to the machine: named, dated, checked, and split.

        Raises:
            FileError, LedgerGoneError: earlier tasks can't be looked at.
        """
        waiting = named(specs, now_ns, entropy)
        found: list[Prepared] = []
        at = 0
        while at < len(waiting):
            way = _Way(at)
            await self._walked(way, waiting, found)
            at = way.at
            if at < len(waiting):
                found.append(_refused(waiting[at], _took_too_long(waiting[at].kind)))
                at += 1
        return found

    async def _walked(self, way: _Way, waiting: list[TaskSpec], found: list[Prepared]) -> None:
        """Wait for a thread until it is done, or hangs and is left."""
        thread = OwnThread("fleet-prepare")
        done = asyncio.wrap_future(thread.submit(partial(self._walk, way, waiting, found)))
        thread.close()
        try:
            while not done.done():
                if way.is_late(leave=True):
                    return
                await asyncio.wait({done}, timeout=way.left_s())
            done.result()
        finally:
            way.leave()
            done.cancel()  # what comes later, maybe when the loop is no more, is for nobody

    # In the thread

    def _walk(self, way: _Way, waiting: list[TaskSpec], found: list[Prepared]) -> None:
        self._ways.add(way)
        try:
            while way.at < len(waiting):
                made = self._prepared(way, waiting[way.at], len(found))
                with way.lock:
                    if way.is_left:
                        return
                    found += made
                    way.at, way.kind = way.at + 1, ""
        finally:
            self._ways.discard(way)

    def _prepared(self, way: _Way, spec: TaskSpec, others: int) -> list[Prepared]:
        refusal = why_not(spec) or self._why_not_asked(spec.kind)
        if refusal:
            return [_refused(spec, refusal)]
        way.enter(spec.kind)
        refusal = self._parts.why_no_kind(spec.kind)
        way.enter("")
        if refusal:
            return [_refused(spec, refusal)]
        before = self._earlier(spec)
        way.enter(spec.kind)
        try:
            kind = self._parts.task_kind(spec.kind)
            with self._parts.host.border.crossing(f"task_kind '{spec.kind}'", "prepare a task"):
                few = list(islice(kind.prepare(spec, before), SPLIT_MAX + 1))
                made = msgspec.convert(few, list[TaskSpec])
        except SteelyardError as error:
            return [_refused(spec, str(error))]
        if len(made) > 1 and others + len(made) > SPLIT_MAX:
            what = f"split, it and what is submitted with it are more than {SPLIT_MAX} tasks"
            return [_refused(spec, what)]
        return [Prepared(each, spec.task_id, why_not(each)) for each in made]

    def _why_not_asked(self, kind: str) -> str:
        """Return why a kind is not asked now, or nothing."""
        hung = sum(way.kind == kind and way.is_late() for way in tuple(self._ways))
        if hung < HANGING_MAX:
            return ""
        return str(
            PluginError(
                f"Plugin task_kind '{kind}' has not come back from preparing {hung} tasks",
                next_step="None of that kind is taken until it does. See what its prepare waits "
                "for, and bound that; a coordinator that is started again asks it anew.",
            )
        )


def _refused(spec: TaskSpec, why: str) -> Prepared:
    return Prepared(spec, spec.task_id, why)


def _took_too_long(kind: str) -> str:
    return str(
        PluginError(
            f"Plugin task_kind '{kind}' took longer than {PREPARE_WITHIN_S:g} s to prepare a task",
            next_step="See what its prepare waits for; its author must bound that.",
        )
    )
