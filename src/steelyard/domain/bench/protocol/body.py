"""The end of every JSON request: extras merged, bytes made, the same way for all endpoints."""

from collections.abc import Mapping
from typing import Any

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.response import WireRequest

_JSON = "application/json"
_EVENTS = "text/event-stream"

_encode = msgspec.json.encode


def seal(
    plan: EndpointPlan,
    path: str,
    body: dict[str, Any],
    turn: Turn,
    *,
    streaming: bool = False,
    headers: tuple[tuple[str, str], ...] = (),
    not_sent: frozenset[str] = frozenset(),
) -> WireRequest:
    """Return the request with extras merged into `body`: the plan's, then the turn's own.

    The merge is shallow and the later one wins. Only the dispatched turn is given here, so that
    nothing of a parent turn leaks into a child's request.

    Args:
        plan: its path replaces `path`, its extra inputs and headers are added.
        path: the endpoint's own.
        body: changed in place.
        turn: the dispatched turn.
        streaming: events are asked for.
        headers: of the interface itself.
        not_sent: keys of the plan's extra inputs that are settings of ours, not the server's.
    """
    extra = plan.extra_inputs
    body.update({k: v for k, v in extra.items() if k not in not_sent} if not_sent else extra)
    body.update(turn.extra)
    sent = (
        ("Content-Type", _JSON),
        ("Accept", _EVENTS if streaming else _JSON),
        *headers,
        *plan.headers,
    )
    return WireRequest(path=plan.path or path, headers=sent, body=_encode(body))


def error_text(error: Any) -> str:
    """Return the message of an error as servers state them: text, or an object with `message`."""
    if isinstance(error, Mapping):
        return str(error.get("message") or error)
    return str(error)
