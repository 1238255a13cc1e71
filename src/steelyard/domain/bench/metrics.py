"""What metrics are made of: who counts, how columns become milliseconds, and what they are for.

A metric is a plugin (kind `metric`) with one of four methods:

- `values(batch)`: one value per request (`RecordMetric`),
- `chunk_values(gaps_ns)`: one value per gap between two content chunks (`ChunkMetric`),
- `value(totals)`: one value per run (`RunMetric`); see `totals.Totals.mapping` for the keys,
- `adjusts()`: the tag of another metric, whose values it repeats with failed requests counting as
  infinitely late (`AdjustedMetric`).

Requests of warm-up phases never reach a metric. Failed and cancelled requests never enter the
distribution of a `RecordMetric` unless its flags say `INCLUDES_FAILURES`: a metric need not, and
can't, forget to mask them.
"""

from collections.abc import Mapping
from enum import IntFlag, StrEnum
from typing import Any

import numpy as np

from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.kernel.units import NS_PER_MS


class MetricFlags(IntFlag):
    """What consoles and exporters may want to filter by."""

    NONE = 0
    STREAMING_ONLY = 1
    PRODUCES_TOKENS_ONLY = 2
    INCLUDES_FAILURES = 4
    ERROR_ONLY = 8
    INTERNAL = 16
    EXPERIMENTAL = 32
    NO_CONSOLE = 64
    GOODPUT = 128
    SUPPORTS_REASONING = 256
    INPUT_TOKENS = 512
    REPLAY_ONLY = 1024
    HTTP_TRACE = 2048


class MetricGroup(StrEnum):
    """The tables of a console, in their order."""

    LATENCY = "latency"
    TOKENS = "tokens"
    THROUGHPUT = "throughput"
    REQUESTS = "requests"
    INSTRUMENT = "instrument"
    HTTP = "http"


def cancelled(batch: np.ndarray) -> np.ndarray:
    """Return the mask of requests that we gave up: cancelled on purpose or by the clock."""
    return np.asarray(batch["cancelled"] | (batch["error_kind"] == ErrorKind.CANCELLED))


def succeeded(batch: np.ndarray) -> np.ndarray:
    """Return the mask of requests that were answered: no error, not cancelled."""
    return np.asarray((batch["error_kind"] == ErrorKind.NONE) & ~cancelled(batch))


def failed(batch: np.ndarray) -> np.ndarray:
    """Return the mask of requests with an error that we did not cause by cancelling."""
    return np.asarray((batch["error_kind"] != ErrorKind.NONE) & ~cancelled(batch))


def elapsed_ms(batch: np.ndarray, start: str, end: str) -> np.ndarray:
    """Return milliseconds from column `start` to column `end`; NaN where either is missing."""
    begun, ended = batch[start], batch[end]
    known = (begun != MISSING) & (ended != MISSING)
    return np.where(known, (ended - begun) / NS_PER_MS, np.nan)


def sending_end_ns(batch: np.ndarray) -> np.ndarray:
    """Return when each request was sent: `sent_ns`, or the first byte of its answer if earlier.

    `sent_ns` is taken after the last send returned. Another process may have had the CPU meanwhile,
    and the kernel's stamp of the answer is not late for that: the send was over by then.
    """
    sent, first = batch["sent_ns"], batch["first_byte_ns"]
    answered = (sent != MISSING) & (first != MISSING)
    return np.where(answered, np.minimum(sent, first), sent)


def apart_ms(batch: np.ndarray, start: str, end: str) -> np.ndarray:
    """Return `elapsed_ms` between two contents; NaN where one read brought both.

    They share a stamp then: how far apart they came is not known, and it was not zero.
    """
    elapsed = elapsed_ms(batch, start, end)
    return np.where(elapsed > 0, elapsed, np.nan)


def amount(batch: np.ndarray, column: str) -> np.ndarray:
    """Return a column as float64; NaN where it is missing."""
    values = batch[column]
    return np.where(values != MISSING, values, np.nan).astype(np.float64)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return `above / below`; NaN where `below` is not positive or either is missing."""
    divisor = np.where(below > 0, below, np.nan)
    return np.asarray(above / divisor)


def per_second(totals: Mapping[str, float], key: str) -> float | None:
    """Return a total / the benchmark's duration; None when either is not there."""
    duration_s = totals.get("duration_s", 0.0)
    return totals[key] / duration_s if duration_s > 0 and key in totals else None


def first_token_stamp_width_ms(batch: np.ndarray) -> np.ndarray:
    """Return by how much stamps alone can overstate the time to the first content, in ms.

    Two parts are known per request. The request left between `start_ns` and `sent_ns`, not at
    one instant. And when later events came in the read of the first content, the kernel's stamp
    is theirs, so the first content came somewhere in `stamp_lower_ns..first_token_ns`; never before
    the request, so that both together are at most the whole time. What the kernel itself needs is
    not in here: only a calibration can tell that.
    NaN where the stamps bound nothing: no send stamp, or no lower bound of a merged read.
    """
    first = batch["first_token_ns"]
    merged = (batch["second_token_ns"] == first) | (batch["end_ns"] == first)
    since_lower = elapsed_ms(batch, "stamp_lower_ns", "first_token_ns")
    open_ms = elapsed_ms(batch, "start_ns", "sent_ns") + np.where(merged, since_lower, 0.0)
    return np.asarray(np.minimum(open_ms, elapsed_ms(batch, "start_ns", "first_token_ns")))


def first_output_stamp_width_ms(batch: np.ndarray) -> np.ndarray:
    """Return by how much stamps alone can overstate the time to the first output token, in ms.

    That is the first content's own width where nothing was reasoned before it. Else the read before
    is not known, only that the reasoning came by then: where any reads of the answer were merged,
    the token may have come right after the first reasoning did.
    NaN as for the first content.
    """
    output, first = batch["first_output_ns"], batch["first_token_ns"]
    merged = (batch["coalesced_events"] > 0) | (batch["end_ns"] == output)
    reasoned_ms = np.where(merged, elapsed_ms(batch, "first_token_ns", "first_output_ns"), 0.0)
    after_ms = elapsed_ms(batch, "start_ns", "sent_ns") + reasoned_ms
    after_ms = np.minimum(after_ms, elapsed_ms(batch, "start_ns", "first_output_ns"))
    return np.asarray(np.where(output == first, first_token_stamp_width_ms(batch), after_ms))


def request_stamp_width_ms(batch: np.ndarray) -> np.ndarray:
    """Return by how much stamps alone can overstate the time to the last byte, in ms.

    The last read of a response holds its end whatever else was merged into it, so only the send
    is uncertain.
    """
    return elapsed_ms(batch, "start_ns", "sent_ns")


def gaps_per_row(batch: np.ndarray) -> np.ndarray:
    """Return how many entries of a batch's `gaps` belong to each of its rows, in row order.

    A request of `n` content chunks has `n - 1`; a gap inside one read is there as `MISSING`.
    """
    return np.maximum(batch["chunks"].astype(np.int64) - 1, 0)


def counted_gaps_ns(batch: np.ndarray, gaps_ns: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the measured gaps of the rows in the mask `counted`.

    Raises:
        ValueError: `gaps_ns` does not belong to these rows.
    """
    per_row = gaps_per_row(batch)
    if int(per_row.sum()) != gaps_ns.size:
        message = f"rows have {int(per_row.sum())} gaps, got {gaps_ns.size}"
        raise ValueError(message)
    kept: np.ndarray = gaps_ns[np.repeat(counted, per_row)]
    return np.asarray(kept[kept != MISSING])


def flags_of(metric: Any) -> MetricFlags:
    """Return a metric's flags; a stranger's metric may have none."""
    return MetricFlags(getattr(metric, "flags", MetricFlags.NONE))


def group_of(metric: Any) -> str:
    """Return the console table a metric belongs to; `requests` unless it says otherwise."""
    return str(getattr(metric, "group", MetricGroup.REQUESTS))
