"""Where tasks stand in traces: W3C's `traceparent`, and identities that follow from a task.

A span's id is drawn from the task itself, so that any coordinator, and the engine that hands an
attempt on, name the same span without asking each other. https://www.w3.org/TR/trace-context/
"""

import re
from hashlib import blake2b

import msgspec

from steelyard.domain.fleet.model import TaskSpec

_SAMPLED = 0x01
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_HEADER = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<span_id>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)


class TraceContext(msgspec.Struct, frozen=True):
    """A span that others can go on from.

    Attributes:
        trace_id, span_id: 32 and 16 hexadecimal digits.
        sampled: who began the trace wants it kept.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """The value of a header `traceparent`, or of a variable `TRACEPARENT`."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"


def parse(header: str) -> TraceContext | None:
    """Return what a `traceparent` says; None where it is none, as the standard then begins anew."""
    found = _HEADER.fullmatch(header.strip())
    if found is None or found["version"] == "ff":
        return None
    if found["rest"] is not None and found["version"] == "00":
        return None
    if found["trace_id"] == _NO_TRACE or found["span_id"] == _NO_SPAN:
        return None
    sampled = bool(int(found["flags"], 16) & _SAMPLED)
    return TraceContext(found["trace_id"], found["span_id"], sampled)


def parent_of(spec: TaskSpec) -> TraceContext | None:
    """Return the span that submitted a task, None where none is known."""
    return parse(spec.traceparent) if spec.traceparent else None


def of_task(spec: TaskSpec) -> TraceContext:
    """Return the span of a task: in its submitter's trace, or in one of its own."""
    return _of_part(spec, "task")


def of_attempt(spec: TaskSpec, token: int) -> TraceContext:
    """Return the span of an attempt, which its lease's token names."""
    return _of_part(spec, f"attempt {token}")


def of_wait(spec: TaskSpec, number: int) -> TraceContext:
    """Return the span of a task's wait for its attempt of that number."""
    return _of_part(spec, f"wait {number}")


def _of_part(spec: TaskSpec, part: str) -> TraceContext:
    parent = parent_of(spec)
    about = f"{spec.submitted_ns}\0{spec.task_id}"
    trace_id = parent.trace_id if parent is not None else _drawn("trace", about, 16)
    sampled = parent is None or parent.sampled
    return TraceContext(trace_id, _drawn(part, about, 8), sampled)


def _drawn(part: str, about: str, size: int) -> str:
    return blake2b(f"{part}\0{about}".encode(), digest_size=size).hexdigest()
