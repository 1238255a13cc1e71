"""The contract of an endpoint: pure, exact about extras, honest about malformed answers."""

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest
from steelyard.testing.contracts.kit import Contract, require

_PROMPT = 'Grüße, 世界: "weigh" this'
_MALFORMED = (b"", b"{", b"\xff\xfe", b"[]", b'"text"', b"null", b"42")


@dataclass(frozen=True)
class EndpointSubject:
    """An endpoint and sample answers of the interface it speaks.

    Attributes:
        cls: the class under test.
        body: a whole non-streamed response.
        text: the text (content and reasoning) that `body`, and `events` together, hold.
        events: the data of each server-sent event, the end marker last; empty when not streaming.
        plan: the plan it is made with.
        merges_extra: False for interfaces that send the user's payload verbatim.
        has_prompt: False when the prompt's text is not sent as text.
        prompt: the turn that is sent.
    """

    cls: type[Endpoint]
    body: bytes
    text: str = ""
    events: tuple[bytes, ...] = ()
    plan: EndpointPlan = field(default_factory=EndpointPlan)
    merges_extra: bool = True
    has_prompt: bool = True
    prompt: Turn = field(default_factory=lambda: Turn(text=_PROMPT, max_tokens=7))

    def make(self, **changes: Any) -> Endpoint:
        """Return a new endpoint; `changes` go into its plan."""
        return self.cls(msgspec.structs.replace(self.plan, **changes))

    def build(self, *turns: Turn, streaming: bool = False, **changes: Any) -> WireRequest:
        """Return the request for the last of `turns`, by a new endpoint."""
        context = RequestContext(model="model-under-test", streaming=streaming)
        return self.make(**changes).build(turns or (self.prompt,), context)


def _strings(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{k}\n{_strings(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "\n".join(_strings(v) for v in value)
    return str(value)


def _text_of(pieces: list[Piece | None]) -> str:
    return "".join(p.reasoning + p.content for p in pieces if p is not None)


def _value_error_or_piece(call: Any, data: bytes, what: str) -> None:
    try:
        piece = call(data)
    except ValueError:
        return
    # An end marker or an event without content is an answer too, but text out of nothing is not.
    is_silent = piece is None or not (piece.content or piece.reasoning)
    require(is_silent, f"{what}({data!r}) read text out of malformed data: {piece!r}")
    marked = piece is None or bool(piece.error)
    require(marked or what == "read_event", f"{what}({data!r}) took malformed data for an answer")


class EndpointContract(Contract):
    """Inherit, and override `subject` with an `EndpointSubject`."""

    kind = "endpoint"

    def test_a_request_is_complete_and_well_formed(self, subject: EndpointSubject) -> None:
        """Path, headers and body are what a transport can send as they are."""
        request = subject.build()
        require(isinstance(request, WireRequest), f"build returned {request!r}, not a WireRequest")
        require(request.path.startswith("/"), f"the path {request.path!r} does not begin with '/'")
        require(isinstance(request.body, bytes), "the body is not bytes")
        for name, value in request.headers:
            clean = not set("\r\n") & set(f"{name}{value}")
            require(clean and name.strip() == name, f"header {name!r}: {value!r} is not one line")
        names = [name.lower() for name, _ in request.headers]
        for owned in ("host", "content-length", "transfer-encoding", "connection"):
            require(owned not in names, f"the header {owned} is the transport's")
        require("content-type" in names or not request.body, "no content-type for the body")

    def test_the_same_turn_makes_the_same_bytes(self, subject: EndpointSubject) -> None:
        """No clock, chance or memory of earlier requests is in a request."""
        first = subject.build()
        require(first == subject.build(), "two endpoints built different requests for one turn")
        endpoint = subject.make()
        context = RequestContext(model="model-under-test", streaming=False)
        other = msgspec.structs.replace(subject.prompt, text="something else")
        once = endpoint.build((subject.prompt,), context)
        endpoint.build((other,), context)
        require(
            once == endpoint.build((subject.prompt,), context), "an endpoint remembers requests"
        )

    def test_building_changes_no_turn(self, subject: EndpointSubject) -> None:
        """History, extras and plan are read only."""
        extra = {"nested": {"a": 1}}
        turn = msgspec.structs.replace(subject.prompt, extra=extra)
        before = msgspec.json.encode([turn, subject.plan])
        history = [turn]
        context = RequestContext(model="m", streaming=True)
        subject.make().build(history, context)
        require(history == [turn], "build changed the history it was given")
        require(msgspec.json.encode([turn, subject.plan]) == before, "build changed a turn or plan")

    def test_the_prompt_is_sent_unchanged(self, subject: EndpointSubject) -> None:
        """Quotes and letters beyond ASCII arrive as they are."""
        if not subject.has_prompt:
            return
        request = subject.build()
        try:
            sent = _strings(json.loads(request.body))
        except ValueError:
            sent = request.body.decode("utf-8", "replace")
        require(subject.prompt.text in sent, f"the prompt is not in the request: {sent[:200]!r}")

    def test_extra_of_the_turn_is_merged_last(self, subject: EndpointSubject) -> None:
        """`extra` of the dispatched turn wins over the plan's extra inputs."""
        if not subject.merges_extra:
            return
        turn = msgspec.structs.replace(subject.prompt, extra={"knob": "turn"})
        plan_extra = {"knob": "plan", "other": "plan"}
        body = json.loads(subject.build(turn, extra_inputs=plan_extra).body)
        require(body.get("knob") == "turn", f"'knob' is {body.get('knob')!r}, not the turn's")
        require(body.get("other") == "plan", "the plan's extra inputs are not in the body")

    def test_extra_of_an_earlier_turn_never_leaks(self, subject: EndpointSubject) -> None:
        """A parent's vendor knobs stay out of its child's request."""
        first = msgspec.structs.replace(subject.prompt, extra={"parent_knob": 1}, max_tokens=99_991)
        body = subject.build(first, subject.prompt).body
        require(b"parent_knob" not in body, "extra of an earlier turn is in the request")
        require(b"99991" not in body, "max_tokens of an earlier turn is in the request")

    def test_a_whole_answer_is_read(self, subject: EndpointSubject) -> None:
        """`read_body` finds the text."""
        piece = subject.make().read_body(subject.body)
        require(isinstance(piece, Piece), f"read_body returned {piece!r}, not a Piece")
        require(_text_of([piece]) == subject.text, f"read {_text_of([piece])!r}")

    def test_a_streamed_answer_is_read(self, subject: EndpointSubject) -> None:
        """The events' texts together are the answer; None ends it and only it."""
        endpoint = subject.make(streaming=True)
        pieces = [endpoint.read_event(event) for event in subject.events]
        require(
            _text_of(pieces) == subject.text or not subject.events, f"read {_text_of(pieces)!r}"
        )
        require(None not in pieces[:-1], "an event before the last ended the stream")

    def test_reading_has_no_memory(self, subject: EndpointSubject) -> None:
        """Interleaved responses don't mix: each event reads the same, whatever was read before."""
        alone = [subject.make(streaming=True).read_event(e) for e in subject.events]
        endpoint = subject.make(streaming=True)
        mixed = [[endpoint.read_event(e), endpoint.read_event(e)] for e in subject.events]
        require(mixed == [[a, a] for a in alone], "what an event says depends on earlier events")

    def test_a_malformed_body_is_refused(self, subject: EndpointSubject) -> None:
        """`read_body` raises ValueError and nothing else; it never invents an answer."""
        endpoint = subject.make()
        for data in (*_MALFORMED, subject.body[: len(subject.body) // 2]):
            if data != subject.body:
                _value_error_or_piece(endpoint.read_body, data, "read_body")

    def test_a_malformed_event_is_refused(self, subject: EndpointSubject) -> None:
        """`read_event` raises ValueError and nothing else."""
        if not subject.events:
            return
        endpoint = subject.make(streaming=True)
        first = subject.events[0]
        for data in (*_MALFORMED, first[: len(first) // 2]):
            _value_error_or_piece(endpoint.read_event, data, "read_event")
