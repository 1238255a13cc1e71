"""What a post-processor hands back."""

from typing import Any

import msgspec


class ProcessingResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one post-processor; it is kept in the run's artifacts.

    Attributes:
        success: False when the results could not be processed; `errors` then says why.
        record_count: how many records were looked at.
        metrics: the processor's own numbers, as plain data.
        errors: what went wrong, one sentence each.
    """

    success: bool
    record_count: int
    metrics: dict[str, Any] = {}
    errors: tuple[str, ...] = ()
