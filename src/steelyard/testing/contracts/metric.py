"""The contract of a metric, per request or per run: documented, pure, and honest about gaps."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from steelyard.domain.bench.records import empty_batch
from steelyard.testing.contracts.kit import Contract, require

_MS = 1_000_000
_TAG = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")


def sample_batch(rows: int = 64) -> np.ndarray:
    """Return `rows` successful, measured requests of plausible times and counts."""
    rng = np.random.Generator(np.random.Philox(42))
    batch = empty_batch(rows)
    for name in ("attempt", "worker_id", "phase", "turn", "endpoint_url", "conn_id"):
        batch[name] = 0
    batch["schedule_index"] = batch["session"] = batch["conversation"] = np.arange(rows)
    batch["intended_ns"] = 10_000 * _MS + np.arange(rows) * 20 * _MS
    batch["start_ns"] = batch["intended_ns"] + rng.integers(1_000, 50_000, rows)
    batch["sent_ns"] = batch["start_ns"] + 20_000
    batch["first_byte_ns"] = batch["sent_ns"] + rng.integers(10 * _MS, 30 * _MS, rows)
    batch["first_token_ns"] = batch["first_output_ns"] = batch["first_byte_ns"] + 10_000
    batch["second_token_ns"] = batch["first_token_ns"] + rng.integers(4 * _MS, 9 * _MS, rows)
    batch["last_token_ns"] = batch["second_token_ns"] + rng.integers(20 * _MS, 90 * _MS, rows)
    batch["end_ns"] = batch["last_token_ns"] + 50_000
    batch["stamp_lower_ns"] = batch["first_byte_ns"] - 5_000
    batch["stamp_source"] = 1
    batch["token_provenance"] = 1
    batch["chunks"] = batch["output_tokens"] = rng.integers(4, 20, rows)
    batch["first_chunk_tokens"] = 1
    batch["input_tokens"] = batch["client_input_tokens"] = rng.integers(10, 600, rows)
    batch["requested_output_tokens"] = batch["output_tokens"]
    batch["reasoning_tokens"] = batch["cached_tokens"] = batch["coalesced_events"] = 0
    batch["status"] = 200
    batch["bytes_sent"] = 500
    batch["bytes_received"] = 4_000
    for name in ("blocked_ns", "dns_ns", "connect_ns", "tls_ns", "delivery_lag_ns"):
        batch[name] = 3_000
    batch["max_gap_ns"] = 9 * _MS
    return batch


def sample_totals() -> dict[str, float]:
    """Return the totals of a good run."""
    return {
        "requests": 64.0, "sent": 64.0, "succeeded": 60.0, "failed": 3.0, "cancelled": 1.0,
        "reused": 62.0, "retried": 1.0, "busy_s": 12.0, "prefill_s": 2.0, "decode_s": 10.0,
        "token_s": 1_500.0, "chunks": 640.0, "coalesced_events": 2.0, "osl_compared": 60.0,
        "osl_mismatched": 1.0,
        "input_tokens": 6_400.0, "output_tokens": 700.0, "reasoning_tokens": 90.0,
        "cached_tokens": 3_200.0, "cacheable_tokens": 6_400.0, "duration_s": 4.0, "good": 55.0,
        "burst_skew_s": 0.001,
    }  # fmt: skip


@dataclass(frozen=True)
class MetricSubject:
    """A metric of any shape.

    Attributes:
        cls: the class under test.
        make: builds it when its class takes arguments.
        needs_answer: a row in which nothing happened has no value.
        batch: rows that have values.
        totals: totals that have a value.
    """

    cls: type[Any]
    make: Callable[[], Any] | None = None
    needs_answer: bool = True
    batch: np.ndarray = field(default_factory=sample_batch)
    totals: Mapping[str, float] = field(default_factory=sample_totals)

    def new(self) -> Any:
        """Return a new metric."""
        return self.make() if self.make is not None else self.cls()


class MetricContract(Contract):
    """Inherit, and override `subject` with a `MetricSubject`."""

    kind = "metric"

    def test_it_is_documented(self, subject: MetricSubject) -> None:
        """Tag, header, unit, direction, definition and source are stated."""
        metric = subject.new()
        require(_TAG.match(metric.tag), f"the tag {metric.tag!r} is not snake_case")
        for name in ("header", "unit", "definition", "source"):
            value = getattr(metric, name)
            require(isinstance(value, str) and value.strip(), f"{name} is {value!r}")
        require(isinstance(metric.larger_is_better, bool), "larger_is_better is not a bool")

    def test_every_request_has_a_row(self, subject: MetricSubject) -> None:
        """float64, one per row; no row at all is fine too."""
        metric = subject.new()
        if not hasattr(metric, "values"):
            return
        for rows in (subject.batch, subject.batch[:1], subject.batch[:0]):
            values = metric.values(rows)
            require(isinstance(values, np.ndarray), f"values() returned {type(values).__name__}")
            require(values.dtype == np.float64, f"values are {values.dtype}, not float64")
            require(values.shape == rows.shape, f"{rows.size} rows gave shape {values.shape}")
            require(not np.isinf(values).any(), "an infinite value")

    def test_rows_do_not_know_each_other(self, subject: MetricSubject) -> None:
        """A row's value is the same alone, in another order and in another batch; none changes."""
        metric = subject.new()
        if not hasattr(metric, "values"):
            return
        rows = subject.batch.copy()
        whole = metric.values(rows)
        require(np.array_equal(rows, subject.batch), "values() changed the batch it was given")
        backwards = metric.values(rows[::-1].copy())[::-1]
        require(np.array_equal(whole, backwards, equal_nan=True), "values depend on the order")
        halves = np.concatenate([metric.values(rows[:5]), metric.values(rows[5:])])
        require(np.array_equal(whole, halves, equal_nan=True), "values depend on the batch")

    def test_what_did_not_happen_has_no_value(self, subject: MetricSubject) -> None:
        """A request that was never answered is NaN, not zero and not a difference of blanks."""
        metric = subject.new()
        if not hasattr(metric, "values"):
            return
        values = metric.values(empty_batch(3))
        if subject.needs_answer:
            require(np.isnan(values).all(), f"a blank row has the value {values[0]!r}")
        mixed = np.concatenate([subject.batch[:2], empty_batch(1)])
        known = metric.values(mixed)[:2]
        same = np.array_equal(known, metric.values(subject.batch[:2]), equal_nan=True)
        require(same, "a blank row changes the values of others")

    def test_every_gap_has_a_value(self, subject: MetricSubject) -> None:
        """One float64 per gap, each on its own."""
        metric = subject.new()
        if not hasattr(metric, "chunk_values"):
            return
        gaps = np.array([1, 5, 20, 7], dtype=np.int64) * _MS
        values = metric.chunk_values(gaps)
        require(values.dtype == np.float64 and values.shape == gaps.shape, f"got {values!r}")
        require(np.isfinite(values).all(), "a value is not finite")
        require(
            np.array_equal(values[::-1], metric.chunk_values(gaps[::-1].copy())), "order counts"
        )
        require(metric.chunk_values(gaps[:0]).shape == (0,), "no gaps gave values")

    def test_a_run_has_one_value(self, subject: MetricSubject) -> None:
        """A finite number out of full totals, which stay as they are."""
        metric = subject.new()
        if not hasattr(metric, "value"):
            return
        totals = dict(subject.totals)
        value = metric.value(totals)
        require(isinstance(value, int | float), f"value() returned {value!r}")
        require(np.isfinite(value), f"the value is {value!r}")
        require(totals == dict(subject.totals), "value() changed the totals it was given")
        require(metric.value(totals) == value, "asking twice differs")

    def test_totals_that_do_not_support_it_give_none(self, subject: MetricSubject) -> None:
        """Nothing counted, or nothing but zeros, raises nothing and is never NaN or infinite."""
        metric = subject.new()
        if not hasattr(metric, "value"):
            return
        empty = metric.value({})
        require(empty is None or np.isfinite(empty), f"no totals gave {empty!r}")
        require(not subject.needs_answer or empty is None, f"no totals gave {empty!r}, not None")
        zeros = metric.value(dict.fromkeys(subject.totals, 0.0))
        require(zeros is None or np.isfinite(zeros), f"zeros gave {zeros!r}")

    def test_what_it_adjusts_is_another_metric(self, subject: MetricSubject) -> None:
        """The tag of a metric that is not itself, the same each time."""
        metric = subject.new()
        if not hasattr(metric, "adjusts"):
            return
        tag = metric.adjusts()
        require(isinstance(tag, str) and _TAG.match(tag), f"adjusts() returned {tag!r}")
        require(tag != metric.tag, "it adjusts itself")
        require(metric.adjusts() == tag, "asking twice differs")
