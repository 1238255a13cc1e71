"""Endpoints with one fault each, over a small echo interface."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest
from steelyard.testing.contracts.endpoint import EndpointSubject

_count = itertools.count()


class EchoEndpoint:
    """Conforms: one JSON object with `text` in, one with `text` out."""

    def __init__(self, plan: EndpointPlan) -> None:
        self.plan = plan

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """Return the body as a mapping."""
        turn = history[-1]
        body = {"model": context.model, "text": turn.text, "n": turn.max_tokens}
        return body | self.plan.extra_inputs | turn.extra

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request."""
        body = json.dumps(self.payload(history, context)).encode()
        return WireRequest("/echo", (("Content-Type", "application/json"),), body)

    def read_event(self, data: bytes) -> Piece | None:
        """Read one event."""
        return None if data == b"[DONE]" else self.read_body(data)

    def read_body(self, body: bytes) -> Piece:
        """Read a whole answer."""
        answer = json.loads(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            message = "expected an object with 'text'"
            raise ValueError(message)  # noqa: TRY004  the port asks for ValueError
        return Piece(content=answer["text"])


class LeaksParentExtra(EchoEndpoint):
    """Merges the extras of the whole history."""

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """As above, with the fault."""
        parents = {k: v for turn in history for k, v in turn.extra.items()}
        return super().payload(history, context) | parents


class PlanWinsOverTurn(EchoEndpoint):
    """Merges the plan's extra inputs after the turn's."""

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """As above, with the fault."""
        return super().payload(history, context) | self.plan.extra_inputs


class NumbersItsRequests(EchoEndpoint):
    """Puts a counter into each body."""

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """As above, with the fault."""
        return super().payload(history, context) | {"request": next(_count)}


class WritesIntoTheTurn(EchoEndpoint):
    """Uses the turn's own extra as its body."""

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """As above, with the fault."""
        body = super().payload(history, context)
        history[-1].extra.setdefault("nested", {})["model"] = context.model
        return body


class DropsNonAscii(EchoEndpoint):
    """Sends ASCII only."""

    def payload(self, history: Sequence[Turn], context: RequestContext) -> dict[str, Any]:
        """As above, with the fault."""
        body = super().payload(history, context)
        return body | {"text": body["text"].encode("ascii", "ignore").decode()}


class BelievesAnything(EchoEndpoint):
    """Takes a malformed body for an empty answer: a failure would count as success."""

    def read_body(self, body: bytes) -> Piece:
        """As above, with the fault."""
        try:
            return super().read_body(body)
        except ValueError:
            return Piece()


class RaisesKeyError(EchoEndpoint):
    """Raises what its JSON access happens to raise."""

    def read_body(self, body: bytes) -> Piece:
        """As above, with the fault."""
        return Piece(content=json.loads(body)["text"])


class SumsUp(EchoEndpoint):
    """Remembers the stream: two responses at once would mix."""

    def __init__(self, plan: EndpointPlan) -> None:
        super().__init__(plan)
        self.so_far = ""

    def read_event(self, data: bytes) -> Piece | None:
        """As above, with the fault."""
        piece = super().read_event(data)
        if piece is None:
            return None
        is_new = not self.so_far.endswith(piece.content)
        self.so_far += piece.content
        return piece if is_new else Piece()


class SmugglesHeaders(EchoEndpoint):
    """Puts a line break into a header."""

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """As above, with the fault."""
        request = super().build(history, context)
        headers = (*request.headers, ("X-Note", "a\r\nX-Evil: b"))
        return WireRequest(request.path, headers, request.body)


class NoStream:
    """Lacks a method of the port."""

    def __init__(self, plan: EndpointPlan) -> None:
        self.plan = plan


def _subject(cls: Any) -> EndpointSubject:
    return EndpointSubject(
        cls,
        body=b'{"text": "gram and ounce"}',
        text="gram and ounce",
        events=(b'{"text": "gram"}', b'{"text": " and"}', b'{"text": " ounce"}', b"[DONE]"),
    )


HONEST = _subject(EchoEndpoint)

SABOTEURS = [
    ("test_extra_of_an_earlier_turn_never_leaks", _subject(LeaksParentExtra)),
    ("test_extra_of_the_turn_is_merged_last", _subject(PlanWinsOverTurn)),
    ("test_the_same_turn_makes_the_same_bytes", _subject(NumbersItsRequests)),
    ("test_building_changes_no_turn", _subject(WritesIntoTheTurn)),
    ("test_the_prompt_is_sent_unchanged", _subject(DropsNonAscii)),
    ("test_a_malformed_body_is_refused", _subject(BelievesAnything)),
    ("test_a_malformed_event_is_refused", _subject(RaisesKeyError)),
    ("test_reading_has_no_memory", _subject(SumsUp)),
    ("test_a_request_is_complete_and_well_formed", _subject(SmugglesHeaders)),
    ("test_the_class_fits_its_port", _subject(NoStream)),
]
