"""Identifiers: short, sortable by time where it helps a person, and made from given entropy."""

from datetime import UTC, datetime

from steelyard.kernel.units import NS_PER_S


def make_run_id(wall_ns: int, entropy: bytes) -> str:
    """Return an id such as `20261122-045412-9f3a1c`: UTC time, then six hex digits of entropy."""
    stamp = datetime.fromtimestamp(wall_ns / NS_PER_S, tz=UTC).strftime("%Y%m%d-%H%M%S")
    return f"{stamp}-{entropy[:3].hex()}"


def make_service_id(service_type: str, entropy: bytes) -> str:
    """Return an id such as `worker_5e8caf4b`: the role, then eight hex digits of entropy."""
    return f"{service_type}_{entropy[:4].hex()}"


def make_request_id_prefix(run_id: str, phase: int) -> str:
    """Return what all request ids of a phase begin with."""
    return f"{run_id}-p{phase}-"


def make_request_id(run_id: str, phase: int, index: int, attempt: int, turn: int = 0) -> str:
    """Return the `X-Request-ID` of one attempt; a pure function, so records need not store it.

    Later turns of a conversation are numbered behind its index: `...-17.2-0`.
    """
    place = f"{index}.{turn}" if turn else str(index)
    return f"{make_request_id_prefix(run_id, phase)}{place}-{attempt}"
