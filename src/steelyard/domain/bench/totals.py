"""A run's totals, folded from record batches in any order; memory does not grow with the run."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import cancelled, failed, succeeded
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING, ErrorKind, TokenProvenance
from steelyard.domain.bench.summary import ErrorCount
from steelyard.kernel.units import NS_PER_S

OSL_TOLERANCE = 0.05
"""An answer this much longer or shorter than asked for (and by more than a token) is a mismatch."""


class PhaseSpan(msgspec.Struct):
    """When the requests of one phase were meant, sent and done; nanoseconds, None when none was."""

    requests: int = 0
    sent: int = 0
    first_intended_ns: int | None = None
    last_intended_ns: int | None = None
    first_start_ns: int | None = None
    last_start_ns: int | None = None
    last_end_ns: int | None = None

    def fold(self, batch: np.ndarray) -> None:
        """Take in rows of this phase."""
        self.requests += batch.size
        sent = batch[batch["start_ns"] != MISSING]
        self.sent += sent.size
        intended = sent["intended_ns"][sent["intended_ns"] != MISSING]
        ended = sent["end_ns"][sent["end_ns"] != MISSING]
        self.first_intended_ns = _least(self.first_intended_ns, intended)
        self.last_intended_ns = _most(self.last_intended_ns, intended)
        self.first_start_ns = _least(self.first_start_ns, sent["start_ns"])
        self.last_start_ns = _most(self.last_start_ns, sent["start_ns"])
        self.last_end_ns = _most(self.last_end_ns, ended)

    @property
    def duration_ns(self) -> int:
        """From the first send to the end of the last response; 0 when there is neither."""
        if self.first_start_ns is None or self.last_end_ns is None:
            return 0
        return max(self.last_end_ns - self.first_start_ns, 0)


def _least(known: int | None, values: np.ndarray) -> int | None:
    if not values.size:
        return known
    least = int(values.min())
    return least if known is None else min(known, least)


def _most(known: int | None, values: np.ndarray) -> int | None:
    if not values.size:
        return known
    most = int(values.max())
    return most if known is None else max(known, most)


class Totals:
    """What a run comes to, apart from distributions. Warm-up rows are only in `spans`.

    Args:
        phases: the plan's; rows name them by index.
    """

    def __init__(self, phases: Sequence[PhasePlan]) -> None:
        self._profiling = np.array([phase.kind != "warmup" for phase in phases], dtype=bool)
        self.spans = [PhaseSpan() for _ in phases]
        self.records = 0
        self.requests = 0
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0
        self.good: int | None = None
        self.busy_ns = 0
        self.tokens: Counter[str] = Counter()
        self.osl_compared = 0
        self.osl_mismatched = 0
        self.chunks = 0
        self.coalesced_events = 0
        self.provenance: Counter[TokenProvenance] = Counter()
        self.errors: Counter[tuple[ErrorKind, int]] = Counter()
        self.examples: dict[ErrorKind, str] = {}

    def profiling(self, batch: np.ndarray) -> np.ndarray:
        """Return the mask of rows that belong to a phase that is measured."""
        phase = batch["phase"]
        known = (phase >= 0) & (phase < self._profiling.size)
        return np.asarray(known & self._profiling[np.where(known, phase, 0)])

    def fold(self, batch: np.ndarray) -> None:
        """Take in a batch of `RECORD_DTYPE`."""
        self.records += batch.size
        for phase in np.unique(batch["phase"]):
            if 0 <= phase < len(self.spans):
                self.spans[phase].fold(batch[batch["phase"] == phase])
        measured = batch[self.profiling(batch)]
        answered = measured[succeeded(measured)]
        self.requests += measured.size
        self.succeeded += answered.size
        self.failed += int(failed(measured).sum())
        self.cancelled += int(cancelled(measured).sum())
        self.chunks += int(np.maximum(measured["chunks"], 0).sum())
        self.coalesced_events += int(np.maximum(measured["coalesced_events"], 0).sum())
        in_flight = (measured["start_ns"] != MISSING) & (measured["end_ns"] != MISSING)
        flown = measured[in_flight]
        self.busy_ns += int((flown["end_ns"] - flown["start_ns"]).sum())
        self._fold_tokens(answered)
        self._fold_errors(measured)

    def _fold_tokens(self, answered: np.ndarray) -> None:
        for side in ("input_tokens", "output_tokens"):
            counted = answered[side][answered[side] != MISSING]
            if counted.size:
                self.tokens[side] += int(counted.sum(dtype=np.int64))
        for value, count in zip(
            *np.unique(answered["token_provenance"], return_counts=True), strict=True
        ):
            self.provenance[TokenProvenance(int(value))] += int(count)
        asked, got = answered["requested_output_tokens"], answered["output_tokens"]
        compared = (asked != MISSING) & (got != MISSING)
        allowed = np.maximum(1.0, OSL_TOLERANCE * asked)
        self.osl_compared += int(compared.sum())
        self.osl_mismatched += int((compared & (np.abs(got - asked) > allowed)).sum())

    def _fold_errors(self, measured: np.ndarray) -> None:
        wrong = measured[failed(measured)]
        for kind, status in np.unique(np.stack([wrong["error_kind"], wrong["status"]]), axis=1).T:
            same = (wrong["error_kind"] == kind) & (wrong["status"] == status)
            self.errors[ErrorKind(int(kind)), int(status)] += int(same.sum())

    def fold_messages(self, messages: Mapping[int, str]) -> None:
        """Take in the first error text per kind of a batch; the earliest is kept."""
        for kind, text in messages.items():
            self.examples.setdefault(ErrorKind(kind), text)

    def fold_good(self, good: np.ndarray) -> None:
        """Take in how many of a batch's measured rows met every objective."""
        self.good = (self.good or 0) + int(good.sum())

    @property
    def duration_ns(self) -> int:
        """The profiling phases' durations, added: pauses between phases are no load."""
        pairs = zip(self.spans, self._profiling, strict=True)
        return sum(span.duration_ns for span, measured in pairs if measured)

    def mapping(self) -> dict[str, float]:
        """Return what a `RunMetric` is given; a key is absent when nothing was counted for it.

        Always: `requests`, `succeeded`, `failed`, `cancelled`, `busy_s` (times in flight, added),
        `chunks`, `coalesced_events`, `osl_compared`, `osl_mismatched`. When there is a first send
        and a last end: `duration_s`. When somebody counted: `input_tokens`, `output_tokens` (of
        successful requests). When the plan has objectives: `good`.
        """
        values = {
            "requests": float(self.requests),
            "succeeded": float(self.succeeded),
            "failed": float(self.failed),
            "cancelled": float(self.cancelled),
            "busy_s": self.busy_ns / NS_PER_S,
            "chunks": float(self.chunks),
            "coalesced_events": float(self.coalesced_events),
            "osl_compared": float(self.osl_compared),
            "osl_mismatched": float(self.osl_mismatched),
            **{side: float(count) for side, count in self.tokens.items()},
        }
        if self.duration_ns > 0:
            values["duration_s"] = self.duration_ns / NS_PER_S
        if self.good is not None:
            values["good"] = float(self.good)
        return values

    def error_counts(self) -> tuple[ErrorCount, ...]:
        """Return failures by kind and HTTP status, the most frequent first."""
        return tuple(
            ErrorCount(
                kind=kind.name.lower(),
                count=count,
                status=None if status == MISSING else status,
                example=self.examples.get(kind, ""),
            )
            for (kind, status), count in sorted(
                self.errors.items(), key=lambda item: (-item[1], item[0])
            )
        )

    def provenance_text(self) -> str:
        """Return where the token counts of successful requests come from, in shares."""
        total = sum(self.provenance.values())
        return ", ".join(
            f"{source.name.lower()} {100 * count / total:.4g} %"
            for source, count in self.provenance.most_common()
        )
