"""A run's totals, folded from record batches in any order; memory does not grow with the run."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from steelyard.domain.bench.burst import Release
from steelyard.domain.bench.held_back import HeldBack
from steelyard.domain.bench.metrics import cancelled, failed, succeeded
from steelyard.domain.bench.occupancy import in_flight_ns, prefill_ns, token_ns
from steelyard.domain.bench.plan import PhasePlan
from steelyard.domain.bench.records import MISSING, ErrorKind, StampSource, TokenProvenance
from steelyard.domain.bench.summary import ErrorCount
from steelyard.kernel.units import NS_PER_S

ISL_TOLERANCE_TOKENS = 32
"""A prompt's counts may differ by a chat template's own tokens, of which a client may not know."""

OSL_TOLERANCE = 0.05
"""An answer this much longer or shorter than asked for (and by more than a token) is a mismatch."""


_COUNTED = ("input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens")


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
        start, intended, ended = batch["start_ns"], batch["intended_ns"], batch["end_ns"]
        sent = start != MISSING
        self.requests += batch.size
        self.sent += int(np.count_nonzero(sent))
        intended = intended[sent & (intended != MISSING)]
        ended = ended[sent & (ended != MISSING)]
        start = start[sent]
        self.first_intended_ns = _least(self.first_intended_ns, intended)
        self.last_intended_ns = _most(self.last_intended_ns, intended)
        self.first_start_ns = _least(self.first_start_ns, start)
        self.last_start_ns = _most(self.last_start_ns, start)
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
        self._releases = {
            number: Release()
            for number, phase in enumerate(phases)
            if phase.kind != "warmup" and not phase.open_loop
        }
        self._held = {
            number: HeldBack(phase)
            for number, phase in enumerate(phases)
            if phase.kind != "warmup"
            and phase.open_loop
            and (phase.concurrency or phase.prefill_concurrency)
        }
        self.records = 0
        self.requests = 0
        self.succeeded = 0
        self.failed = 0
        self.cancelled = 0
        self.good: int | None = None
        self.busy_ns = 0
        self.prefill_ns = 0
        self.token_ns = 0.0
        self.sent = 0
        self.reused = 0
        self.retried = 0
        self.tokens: Counter[str] = Counter()
        self.isl_compared = 0
        self.isl_mismatched = 0
        self.osl_compared = 0
        self.osl_mismatched = 0
        self.chunks = 0
        self.coalesced_events = 0
        self.user_stamped = 0
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
        phases = batch["phase"]
        # Copying rows costs more than all that is done with them: mostly there is one phase.
        one = phases.size > 0 and bool((phases == phases[0]).all())
        for phase in phases[:1] if one else np.unique(phases):
            if 0 <= phase < len(self.spans):
                rows = batch if one else batch[phases == phase]
                self.spans[phase].fold(rows)
                if phase in self._releases:
                    self._releases[phase].fold(rows)
                if phase in self._held:
                    self._held[phase].fold(rows)
        profiling = self.profiling(batch)
        measured = batch if profiling.all() else batch[profiling]
        answered = succeeded(measured)
        self.requests += measured.size
        self.succeeded += int(np.count_nonzero(answered))
        self.cancelled += int(np.count_nonzero(cancelled(measured)))
        self.chunks += int(np.maximum(measured["chunks"], 0).sum())
        self.coalesced_events += int(np.maximum(measured["coalesced_events"], 0).sum())
        by_us = measured["stamp_source"] == StampSource.USER
        self.user_stamped += int(np.count_nonzero(answered & by_us))
        self._fold_times(measured)
        self._fold_tokens(measured, answered)
        self._fold_errors(measured)

    def _fold_times(self, measured: np.ndarray) -> None:
        sent = measured["start_ns"] != MISSING
        self.sent += int(np.count_nonzero(sent))
        self.reused += int(np.count_nonzero(sent & measured["conn_reused"]))
        self.retried += int(np.count_nonzero(measured["attempt"] > 0))
        self.busy_ns += int(in_flight_ns(measured).sum())
        self.prefill_ns += int(prefill_ns(measured).sum())
        self.token_ns += float(token_ns(measured).sum())

    def _fold_tokens(self, measured: np.ndarray, answered: np.ndarray) -> None:
        for name in _COUNTED:
            counts = measured[name]
            counted = answered & (counts != MISSING)
            if counted.any():
                self.tokens[name] += int(counts[counted].sum(dtype=np.int64))
        cached = answered & (measured["cached_tokens"] != MISSING)
        if cached.any():
            asked = np.maximum(measured["input_tokens"][cached], 0)
            self.tokens["cacheable_tokens"] += int(asked.sum(dtype=np.int64))
        sources = np.bincount(measured["token_provenance"][answered])
        for value in np.flatnonzero(sources):
            self.provenance[TokenProvenance(int(value))] += int(sources[value])
        asked, got = measured["requested_output_tokens"], measured["output_tokens"]
        compared = answered & (asked != MISSING) & (got != MISSING)
        allowed = np.maximum(1.0, OSL_TOLERANCE * asked)
        self._fold_prompts(measured, answered)
        self.osl_compared += int(np.count_nonzero(compared))
        self.osl_mismatched += int(np.count_nonzero(compared & (np.abs(got - asked) > allowed)))

    def _fold_prompts(self, measured: np.ndarray, answered: np.ndarray) -> None:
        """Compare the server's counts of prompts with the data set's."""
        told, ours = measured["input_tokens"], measured["client_input_tokens"]
        by_server = measured["token_provenance"] == TokenProvenance.SERVER_USAGE
        compared = answered & by_server & (told != MISSING) & (ours != MISSING)
        apart = np.abs(told - ours) > np.maximum(ISL_TOLERANCE_TOKENS, OSL_TOLERANCE * ours)
        self.isl_compared += int(np.count_nonzero(compared))
        self.isl_mismatched += int(np.count_nonzero(compared & apart))

    def held_back_by(self, phase: int) -> tuple[str, ...]:
        """Return the flags of the limits that an open loop reached, so that sends had to wait."""
        return self._held[phase].reached() if phase in self._held else ()

    def _fold_errors(self, measured: np.ndarray) -> None:
        bad = failed(measured)
        self.failed += int(np.count_nonzero(bad))
        if not bad.any():
            return
        kinds, statuses = measured["error_kind"][bad], measured["status"][bad]
        pairs, counts = np.unique(np.stack([kinds, statuses]), axis=1, return_counts=True)
        for (kind, status), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            self.errors[ErrorKind(kind), status] += count

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

    @property
    def profiling_span_ns(self) -> tuple[int, int]:
        """The first send and the last end of all profiling phases; zeros without any."""
        spans = [s for s, measured in zip(self.spans, self._profiling, strict=True) if measured]
        begins = [s.first_start_ns for s in spans if s.first_start_ns is not None]
        ends = [s.last_end_ns for s in spans if s.last_end_ns is not None]
        return (min(begins), max(ends)) if begins and ends else (0, 0)

    def mapping(self) -> dict[str, float]:
        """Return what a `RunMetric` is given; a key is absent when nothing was counted for it.

        Always: `requests`, `sent`, `succeeded`, `failed`, `cancelled`, `reused` (sent over a
        connection that had been used before), `retried` (sent again on a fresh one), `chunks`,
        `coalesced_events`, `osl_compared`, `osl_mismatched`, and integrals over time: `busy_s`
        (requests in flight), `prefill_s` and `decode_s` (before and after their first content),
        `token_s` (tokens in flight). When there is a first send and a last end: `duration_s`. When
        somebody counted, of successful requests: `input_tokens`, `output_tokens`,
        `reasoning_tokens`, `cached_tokens` and `cacheable_tokens` (the prompts of the answers that
        told the former). When a closed loop released several sessions at once: `burst_skew_s`.
        When the plan has objectives: `good`.
        """
        values = {
            "requests": float(self.requests),
            "succeeded": float(self.succeeded),
            "failed": float(self.failed),
            "cancelled": float(self.cancelled),
            "sent": float(self.sent),
            "reused": float(self.reused),
            "retried": float(self.retried),
            "busy_s": self.busy_ns / NS_PER_S,
            "prefill_s": self.prefill_ns / NS_PER_S,
            "decode_s": (self.busy_ns - self.prefill_ns) / NS_PER_S,
            "token_s": self.token_ns / NS_PER_S,
            "chunks": float(self.chunks),
            "coalesced_events": float(self.coalesced_events),
            "osl_compared": float(self.osl_compared),
            "osl_mismatched": float(self.osl_mismatched),
            **{side: float(count) for side, count in self.tokens.items()},
        }
        if self.duration_ns > 0:
            values["duration_s"] = self.duration_ns / NS_PER_S
        skews = [release.skew_ns for release in self._releases.values()]
        known = [skew for skew in skews if skew is not None]
        if known:
            values["burst_skew_s"] = max(known) / NS_PER_S
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
