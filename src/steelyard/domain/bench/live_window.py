"""How a run goes right now: a sliding window of sketches, in memory that does not grow."""

from collections import Counter, deque

import numpy as np

from steelyard.domain.bench.messages import LiveStats
from steelyard.domain.bench.metrics import cancelled, elapsed_ms, failed, succeeded
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.sketch import Sketch
from steelyard.kernel.units import NS_PER_S

SLOTS = 10
SLOT_NS = NS_PER_S


class _Slot:
    """What arrived in one second."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.answered = 0
        self.output_tokens = 0
        self.ttft_ms = Sketch()
        self.latency_ms = Sketch()


class LiveWindow:
    """Folds record batches as they arrive; `stats` tells about the last `SLOTS` seconds.

    A new phase begins anew: neither rates and quantiles nor errors of the one before are its own.
    Stragglers of an earlier phase are counted as records and nothing else.

    Args:
        start_ns: when the run began; a window never reaches back behind it.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._slots: deque[_Slot] = deque()
        self._errors: Counter[int] = Counter()
        self._cancelled = 0
        self._sessions = self._later_turns = 0
        self._phase = -1
        self.records = 0

    def add(self, rows: np.ndarray, now_ns: int) -> None:
        """Take in rows of `RECORD_DTYPE` that arrived at `now_ns`."""
        self.records += len(rows)
        newest = int(rows["phase"].max(initial=self._phase))
        if newest > self._phase:
            self._begin(newest, rows[rows["phase"] == newest], now_ns)
        rows = rows[rows["phase"] == self._phase]
        slot = self._slot_at(now_ns)
        self._cancelled += int(np.count_nonzero(cancelled(rows)))
        self._sessions += int(np.count_nonzero(rows["turn"] <= 0))
        self._later_turns += int(np.count_nonzero(rows["turn"] > 0))
        kinds, counts = np.unique(rows[failed(rows)]["error_kind"], return_counts=True)
        self._errors.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
        answered = rows[succeeded(rows)]
        slot.answered += len(answered)
        slot.output_tokens += int(np.maximum(answered["output_tokens"], 0).sum(dtype=np.int64))
        _add_known(slot.ttft_ms, elapsed_ms(answered, "start_ns", "first_token_ns"))
        _add_known(slot.latency_ms, elapsed_ms(answered, "start_ns", "end_ns"))

    def _begin(self, phase: int, rows: np.ndarray, now_ns: int) -> None:
        """Forget the phase before; the new one began with the earliest send that is known."""
        if self._phase >= 0:
            sends = rows["start_ns"][rows["start_ns"] != MISSING]
            self._start_ns = int(sends.min(initial=now_ns))
        self._phase = phase
        self._slots.clear()
        self._errors.clear()
        self._cancelled = self._sessions = self._later_turns = 0

    def stats(self, now_ns: int, duplicates: int = 0) -> LiveStats:
        """Return the state at `now_ns`."""
        self._slot_at(now_ns)
        ttft_ms, latency_ms = Sketch(), Sketch()
        for slot in self._slots:
            ttft_ms.merge(slot.ttft_ms)
            latency_ms.merge(slot.latency_ms)
        begin_ns = max(self._start_ns, (now_ns // SLOT_NS - SLOTS + 1) * SLOT_NS)
        # A window of no length has no rate: a millisecond keeps the first look finite.
        window_s = max((now_ns - begin_ns) / NS_PER_S, 0.001)
        return LiveStats(
            mono_ns=now_ns,
            phase=self._phase,
            window_s=window_s,
            records=self.records,
            sessions=self._sessions,
            later_turns=self._later_turns,
            cancelled=self._cancelled,
            errors={_error_name(kind): count for kind, count in sorted(self._errors.items())},
            duplicates=duplicates,
            request_rate=sum(slot.answered for slot in self._slots) / window_s,
            output_token_rate=sum(slot.output_tokens for slot in self._slots) / window_s,
            ttft_p50_ms=ttft_ms.quantile(0.5),
            ttft_p99_ms=ttft_ms.quantile(0.99),
            latency_p50_ms=latency_ms.quantile(0.5),
            latency_p99_ms=latency_ms.quantile(0.99),
        )

    def _slot_at(self, now_ns: int) -> _Slot:
        number = now_ns // SLOT_NS
        while self._slots and self._slots[0].number <= number - SLOTS:
            self._slots.popleft()
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number))
        return self._slots[-1]


def _add_known(sketch: Sketch, values: np.ndarray) -> None:
    sketch.add(values[~np.isnan(values)])


def _error_name(kind: int) -> str:
    try:
        return ErrorKind(kind).name.lower()
    except ValueError:
        return f"unknown_{kind}"
