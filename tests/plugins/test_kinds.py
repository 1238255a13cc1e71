"""The table of ports says what the documented Protocols say, and names what a class lacks."""

import inspect

import pytest

from steelyard.domain.bench import ports
from steelyard.domain.fleet import ports as fleet_ports
from steelyard.domain.track import ports as track_ports
from steelyard.plugins.kinds import PORTS, Port, class_problems, port_for, split_method
from steelyard.plugins.spec import KINDS, PluginSpec
from steelyard.runtime import exchange

_MODULES = (ports, fleet_ports, track_ports, exchange)
_PROTOCOLS = {
    kind: [
        word for word in port.protocol.partition(":")[2].replace(",", " ").split() if word != "or"
    ]
    for kind, port in PORTS.items()
    if port.protocol.startswith(tuple(module.__name__ for module in _MODULES))
}


def methods_of(protocol):
    return {
        name: tuple(p for p in inspect.signature(value).parameters if p != "self")
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


@pytest.mark.parametrize("kind", _PROTOCOLS)
def test_a_port_is_its_protocol(kind):
    """Methods and arguments are the same in both places, shape by shape."""
    port = PORTS[kind]
    shapes = [tuple(shape) + port.optional for shape in port.shapes]
    (module,) = (m for m in _MODULES if port.protocol.startswith(m.__name__))
    protocols = [getattr(module, name) for name in _PROTOCOLS[kind]]
    assert [dict(split_method(m) for m in shape) for shape in shapes] == [
        methods_of(p) for p in protocols
    ]
    for protocol in protocols:
        assert set(inspect.get_annotations(protocol)) == set(port.attributes)


def test_ports_belong_to_kinds():
    assert set(PORTS) <= set(KINDS)


PORT = Port("doc", (("a(x)", "b()"), ("c(x, y)",)), attributes=("tag",))


class Fits:
    tag = "t"

    def a(self, x):
        """One."""

    def b(self):
        """Two."""


class FitsOtherwise:
    def __init__(self):
        self.tag = "t"

    def c(self, x, y, z=1):
        """Optional arguments more are fine."""


class Lacks:
    tag: str

    def a(self, x):
        """One."""


class WrongArguments(Fits):
    def a(self):
        """Too few."""


class WrongType(Fits):
    b = 3  # type: ignore[assignment]


class Keywords(Fits):
    def a(self, *args, **kwargs):
        """Anything."""


@pytest.mark.parametrize(
    ("cls", "problems"),
    [
        (Fits, []),
        (FitsOtherwise, []),
        (Keywords, []),
        (Lacks, ["has no method b()"]),
        (WrongArguments, ["has a(self); expected a(x)"]),
        (WrongType, ["has b, which is not a method; expected b()"]),
        (len, ["is a builtin_function_or_method, not a class"]),
    ],
)
def test_what_a_class_lacks_is_named(cls, problems):
    """The shape that fits best is the one that is judged by."""
    assert class_problems(cls, PORT) == problems


def test_a_missing_attribute_is_named():
    class NoTag(Fits):
        pass

    assert class_problems(NoTag, Port("doc", attributes=("unit",))) == ["has no attribute unit"]


def test_a_phase_hook_needs_one_of_its_methods():
    class Nothing:
        pass

    class One:
        async def on_phase_complete(self, phase, tracker):
            """Enough."""

    (problem,) = class_problems(Nothing, PORTS["phase_hook"])
    assert problem.startswith("has none of on_phase_start(phase, tracker)")
    assert class_problems(One, PORTS["phase_hook"]) == []


def test_an_open_abstract_method_is_named():
    import abc

    class Open(abc.ABC):
        @abc.abstractmethod
        def export(self, view): ...

    assert class_problems(Open, PORTS["exporter"]) == [
        "leaves the abstract method export(view) open"
    ]


def test_a_dialect_has_its_own_port_and_a_new_kind_has_none():
    tracelet = PluginSpec(kind="backend", name="x", target="a:B", authoring_style="tracelet")
    assert port_for(tracelet).shapes[0][0] == "get_metadata()"
    assert port_for(PluginSpec(kind="custom", name="x", target="a:B")) is None
