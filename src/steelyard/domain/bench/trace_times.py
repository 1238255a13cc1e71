"""The times of a trace: which conversations are replayed, and when each begins."""

from array import array
from collections.abc import Sequence

import msgspec
import numpy as np

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.plan import SchedulePlan
from steelyard.kernel.errors import UsageError
from steelyard.kernel.units import NS_PER_MS

LONGEST_WAIT_MS = 86_400_000.0
LONGEST_TRACE_MS = 366 * LONGEST_WAIT_MS
TIMES_EXPECTED = (
    "a timestamp in milliseconds where a conversation begins, and in its turns none that is earlier"
)


def time_mistake(turns: Sequence[Turn]) -> tuple[int, str] | None:
    """Return the number of the first turn whose time can't be replayed, and why; None if none."""
    before = turns[0].timestamp_ms
    if before is None:
        return 0, "no timestamp"
    for number, turn in enumerate(turns):
        if turn.timestamp_ms is None:
            continue
        if turn.timestamp_ms < before:
            return number, f"the timestamp {turn.timestamp_ms:.15g} after {before:.15g}"
        before = turn.timestamp_ms
    return None


class TraceTimes:
    """Collects when each replayed conversation begins; 8 bytes for each.

    Args:
        plan: the part of the trace that is replayed.
    """

    def __init__(self, plan: SchedulePlan) -> None:
        self._plan = plan
        self._begins_ms = array("d")

    def kept(self, conversation: Conversation) -> Conversation | None:
        """Note when a conversation begins, and return what of it is replayed; None for nothing.

        Its turns up to the first one behind the end are.

        Raises:
            ValueError: it has no times, or they run back.
        """
        plan, turns = self._plan, conversation.turns
        if (mistake := time_mistake(turns)) is not None:
            number, problem = mistake
            message = f"conversation {conversation.id!r} has {problem} in turn {number}"
            raise ValueError(message)
        begin_ms = turns[0].timestamp_ms or 0.0
        if not plan.has(begin_ms):
            return None
        self._begins_ms.append(begin_ms)
        end_ms = float("inf") if plan.end_ms is None else plan.end_ms
        late = (n for n, turn in enumerate(turns) if (turn.timestamp_ms or 0.0) > end_ms)
        first_late = next(late, None)
        if first_late is None:
            return conversation
        return msgspec.structs.replace(conversation, turns=turns[:first_late])

    def schedule(self) -> tuple[np.ndarray, np.ndarray]:
        """Return int64 ns after the phase's start, ascending, and the conversation of each.

        Conversations are numbered as they were kept; equal times stay in that order.

        Raises:
            UsageError: nothing would be sent for a day, or the trace is longer than a year: its
                times are no milliseconds, or don't count from where the phase starts.
        """
        begins = np.frombuffer(self._begins_ms, np.float64)
        order = np.argsort(begins, kind="stable")
        begins = begins[order]
        plan = self._plan
        zero_ms = float(begins[0]) if plan.auto_offset and len(begins) else plan.start_ms or 0.0
        offsets = begins - zero_ms
        if len(offsets):
            _check_span(float(offsets[0]), float(offsets[-1]))
        return np.rint(offsets * NS_PER_MS).astype(np.int64), order


def _check_span(first_ms: float, last_ms: float) -> None:
    if first_ms > LONGEST_WAIT_MS:
        raise UsageError(
            "The trace's first request would be due more than a day after the phase's start",
            got=f"{first_ms:.15g} ms after it",
            expected="timestamps that count from there",
            next_step="Leave --no-fixed-schedule-auto-offset out, or set "
            "--fixed-schedule-start-offset.",
        )
    if last_ms > LONGEST_TRACE_MS:
        raise UsageError(
            "The trace is longer than a year",
            got=f"a timestamp {last_ms:.15g} ms after the first",
            expected="timestamps in milliseconds",
            next_step="Convert them, or set --fixed-schedule-end-offset.",
        )
