"""The event that the journal keeps; bench, fleet and track write the same one."""

from typing import Any

import msgspec

EVENT_SCHEMA = 1


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of a run, in the order its stream wrote it.

    Attributes:
        schema: version of this layout.
        run_id: the run it belongs to.
        stream_id: the writer; `(run_id, stream_id, seq)` is unique.
        seq: counts from 0 within the stream.
        mono_ns: CLOCK_MONOTONIC of the writer's host.
        wall_ns: nanoseconds since the Unix epoch.
        host_id: the writer's host.
        boot_id: changes when `mono_ns` starts again.
        type: dotted name, such as `bench.phase.completed`.
        payload: plain data (str, int, float, bool, None, list, dict).
    """

    run_id: str
    stream_id: str
    seq: int
    mono_ns: int
    wall_ns: int
    host_id: str
    boot_id: str
    type: str
    payload: dict[str, Any]
    schema: int = EVENT_SCHEMA
