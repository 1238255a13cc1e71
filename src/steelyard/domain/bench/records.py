"""One row per attempted request, as columns: the only form in which the hot path reports.

Times are nanoseconds on CLOCK_MONOTONIC of the worker's host; from a worker on another machine they
arrive moved to the controller's (`clock_border`). `MISSING` stands for "did not happen" in every
integer column; exports write null.
"""

from enum import IntEnum

import numpy as np

MISSING = -1


class ErrorKind(IntEnum):
    """Why a request failed; `NONE` is success."""

    NONE = 0
    CONNECT = 1
    DNS = 2
    TLS = 3
    TIMEOUT_CONNECT = 4
    TIMEOUT_FIRST_BYTE = 5
    TIMEOUT_IDLE = 6
    TIMEOUT_REQUEST = 7
    HTTP_STATUS = 8
    RESET = 9
    TRUNCATED = 10
    PROTOCOL = 11
    MALFORMED = 12
    SERVER_ERROR = 13
    EMPTY = 14
    TOO_LARGE = 15
    CANCELLED = 16
    LOST = 17
    INTERNAL = 18
    PLUGIN = 19


class StampSource(IntEnum):
    """Who stamped the arrival of a response."""

    NONE = 0
    KERNEL = 1
    USER = 2


class TokenProvenance(IntEnum):
    """Where a row's token counts come from."""

    NONE = 0
    SERVER_USAGE = 1
    TOKEN_IDS = 2
    CLIENT_TOKENIZER = 3
    MIXED = 4


RECORD_DTYPE = np.dtype(
    [
        ("schedule_index", "<i8"),
        ("attempt", "<i2"),
        ("worker_id", "<i2"),
        ("phase", "<i2"),
        ("turn", "<i4"),
        ("session", "<i8"),
        ("conversation", "<i4"),
        ("endpoint_url", "<i2"),
        ("conn_id", "<i8"),
        ("conn_reused", "?"),
        ("intended_ns", "<i8"),
        ("start_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("first_byte_ns", "<i8"),
        ("first_token_ns", "<i8"),
        ("first_output_ns", "<i8"),
        ("second_token_ns", "<i8"),
        ("last_token_ns", "<i8"),
        ("end_ns", "<i8"),
        ("stamp_lower_ns", "<i8"),
        ("stamp_source", "<i1"),
        ("coalesced_events", "<i4"),
        ("chunks", "<i4"),
        ("first_chunk_tokens", "<i4"),
        ("input_tokens", "<i4"),
        ("output_tokens", "<i4"),
        ("reasoning_tokens", "<i4"),
        ("cached_tokens", "<i4"),
        ("requested_output_tokens", "<i4"),
        ("client_input_tokens", "<i4"),
        ("token_provenance", "<i1"),
        ("status", "<i2"),
        ("error_kind", "<i1"),
        ("cancelled", "?"),
        ("bytes_sent", "<i4"),
        ("bytes_received", "<i8"),
        ("blocked_ns", "<i8"),
        ("dns_ns", "<i8"),
        ("connect_ns", "<i8"),
        ("tls_ns", "<i8"),
        ("delivery_lag_ns", "<i8"),
        ("max_gap_ns", "<i8"),
    ]
)
"""Layout of a record batch, in memory, on the bus and in the journal.

`session` numbers the spent conversation and `conversation` is its entry in the dataset;
`endpoint_url` indexes `plan.endpoint.urls`; `phase` indexes `plan.phases`. `blocked_ns`, `dns_ns`,
`connect_ns` and `tls_ns` are durations; `delivery_lag_ns` is the wait between the kernel's stamp
of the first content and our reading it; `max_gap_ns` the longest wait between two content chunks.
`client_input_tokens` is the dataset's own count of the prompt.
"""

TIME_COLUMNS = (
    "intended_ns", "start_ns", "sent_ns", "first_byte_ns", "first_token_ns", "first_output_ns",
    "second_token_ns", "last_token_ns", "end_ns", "stamp_lower_ns",
)  # fmt: skip
"""The columns that are points in time; all others in nanoseconds are durations."""


def empty_batch(rows: int) -> np.ndarray:
    """Return `rows` records in which nothing has happened yet."""
    batch = np.full(rows, MISSING, dtype=RECORD_DTYPE)
    for name in ("conn_reused", "cancelled", "stamp_source", "token_provenance", "error_kind"):
        batch[name] = 0
    return batch
