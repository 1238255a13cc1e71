"""An endpoint of somebody else's that raises."""

import pytest

from steelyard.domain.bench.response import CONTENT, Piece, StreamReading, Usage, WireRequest
from steelyard.kernel.errors import PluginError
from steelyard.runtime.guarded_endpoint import GuardedEndpoint, guarded
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.plugin_host import PluginHost


def boom():
    raise ZeroDivisionError("texts")


class Odd:
    """Does what it is told."""

    def __init__(self, plan=None):
        self.reading = StreamReading([CONTENT], lambda: ["a"])
        self.problem = self.request = None

    def build(self, history, context):
        if self.request is None:
            raise OSError("no template")
        return self.request

    def read_event(self, data):
        if self.problem:
            raise self.problem
        return Piece(content="a")

    read_body = read_event

    def read_stream(self, events):
        if self.problem:
            raise self.problem
        return self.reading


@pytest.fixture
def odd():
    return Odd()


def guard(endpoint):
    return GuardedEndpoint(endpoint, "odd", PluginBorder())


def test_what_can_be_read_is_passed_on(odd):
    one = guard(odd)
    assert one.read_event(b"x") == one.read_body(b"x") == Piece(content="a")
    reading = one.read_stream([b"x", b"y"])
    assert (reading.kinds, reading.texts()) == ([CONTENT], ["a"])


def test_an_endpoint_without_read_stream_has_none():
    class Plain:
        pass

    assert not hasattr(guard(Plain()), "read_stream")


def test_a_fault_names_the_plugin_and_the_method(odd):
    """What is malformed by the port's word stays the server's fault."""
    one = guard(odd)
    odd.problem = ZeroDivisionError("oops")
    for method in ("read_event", "read_body", "read_stream"):
        said = rf"Plugin endpoint 'odd' failed to {method}\(\): ZeroDivisionError: oops"
        with pytest.raises(PluginError, match=said):
            getattr(one, method)(b"x")
    with pytest.raises(PluginError, match="failed to build a request: OSError: no template"):
        one.build([], None)
    odd.problem = ValueError("no JSON")
    with pytest.raises(ValueError, match="no JSON"):
        one.read_event(b"x")


@pytest.mark.parametrize(
    "wrong",
    [
        "nonsense",
        WireRequest(path="/", headers=(), body="text"),
        WireRequest(path=b"/", headers=(), body=b""),
        WireRequest(path="/", headers=(("X-Number", 1),), body=b""),
        WireRequest(path="/", headers=(("X",),), body=b""),
        WireRequest(path="/", headers=None, body=b""),
    ],
)
def test_a_request_that_no_bytes_can_be_made_of_is_a_fault(odd, wrong):
    odd.request = wrong
    with pytest.raises(PluginError, match="Plugin endpoint 'odd' failed to build a request: "):
        guard(odd).build([], None)
    odd.request = WireRequest(path="/", headers=(("X-Number", "1"),), body=b"{}")
    assert guard(odd).build([], None) is odd.request


def test_texts_that_raise_or_do_not_fit_are_a_fault_of_read_stream(odd):
    one = guard(odd)
    odd.reading = StreamReading([CONTENT], boom)
    with pytest.raises(PluginError, match=r"give the texts\(\) of read_stream\(\): Zero"):
        one.read_stream([b"x"])
    odd.reading = StreamReading([CONTENT, CONTENT], lambda: ["a"])
    with pytest.raises(PluginError, match=r"read_stream\(\): it gave 2 kinds and 1 texts"):
        one.read_stream([b"x", b"y"])
    odd.reading = StreamReading([CONTENT, CONTENT], lambda: ["a", "b"])
    with pytest.raises(PluginError, match="at most a kind for each of 1 events"):
        one.read_stream([b"x"])
    odd.reading = StreamReading([], list, error=3)
    with pytest.raises(PluginError, match="its error or malformed is no text"):
        one.read_stream([])
    odd.reading = "nonsense"
    with pytest.raises(PluginError, match=r"read_stream\(\): AttributeError"):
        one.read_stream([b"x"])


def test_our_own_endpoints_are_called_directly(odd):
    host = PluginHost.standard()
    assert guarded(odd, "chat", host) is odd
    host.register("endpoint", "odd", Odd)
    assert isinstance(guarded(odd, "odd", host), GuardedEndpoint)


def test_an_answer_that_is_no_piece_is_a_fault(odd):
    """But for the None by which an event ends its stream."""
    odd.read_event = odd.read_body = lambda data: None
    assert guard(odd).read_event(b"x") is None
    with pytest.raises(PluginError, match=r"failed to read_body\(\): it gave no Piece; got 'None"):
        guard(odd).read_body(b"x")
    odd.read_event = lambda data: "a"
    with pytest.raises(PluginError, match=r"failed to read_event\(\): it gave no Piece; got 'str'"):
        guard(odd).read_event(b"x")


@pytest.mark.parametrize("usage", [Usage("5"), Usage(1, 2.0), Usage(2**31), Usage(-2), {"n": 1}])
def test_a_usage_that_no_record_has_room_for_is_a_fault(odd, usage):
    """It would have ended the worker, not the request."""
    odd.read_event = lambda data: Piece(usage=usage)
    with pytest.raises(PluginError, match=r"read_event\(\): it gave a usage with what is no count"):
        guard(odd).read_event(b"x")
    odd.reading = StreamReading([0], list, usage)
    with pytest.raises(PluginError, match=r"read_stream\(\): it gave a usage with what is no coun"):
        guard(odd).read_stream([b"x"])
    odd.reading = StreamReading([0], list, Usage(2**31 - 1, -1))
    assert guard(odd).read_stream([b"x"]).usage == Usage(2**31 - 1, -1)


def test_a_piece_whose_text_is_none_is_a_fault(odd):
    odd.read_body = lambda data: Piece(content=5)
    with pytest.raises(PluginError, match=r"read_body\(\): it gave a Piece whose text is none"):
        guard(odd).read_body(b"x")
