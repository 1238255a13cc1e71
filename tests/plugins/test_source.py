"""Plugin classes are found by reading source; nothing in it is run."""

import textwrap

from steelyard.plugins.source import scan_source


def scan(text):
    return scan_source(textwrap.dedent(text), module="mod", file="mod.py", origin="test")


def test_a_class_that_says_what_it_is_is_a_plugin():
    """The attribute `plugin` has the keys of a manifest entry."""
    found = scan("""
        raise SystemExit("never run")
        class Hello:
            plugin = {"kind": "endpoints", "name": "hello", "priority": 5, "requires": ["x>1"]}
        class Bystander:
            pass
    """)
    (spec,) = found.specs
    assert (spec.kind, spec.name, spec.target) == ("endpoint", "hello", "mod:Hello")
    assert (spec.priority, spec.requires, spec.authoring_style) == (5, ("x>1",), "core")


def test_a_coordinator_plugin_is_known_by_its_base_and_constants():
    """The template of reference 003 is listed with its name, version and type."""
    found = scan('''
        from distributed_testing.plugin_architecture import Plugin, PluginType, HookType
        class MyCustomPlugin(Plugin):
            """My custom plugin description."""
            def __init__(self):
                super().__init__(
                    name="MyCustomPlugin", version="1.0.0", plugin_type=PluginType.NOTIFICATION)
    ''')
    (spec,) = found.specs
    assert (spec.kind, spec.name, spec.version) == ("notification", "MyCustomPlugin", "1.0.0")
    assert spec.authoring_style == "distributed_testing"
    assert spec.description == "My custom plugin description."


def test_a_tracker_plugin_is_known_by_its_metadata():
    """The backend of reference 004 is listed with its name and version."""
    found = scan("""
        from tracelet.core.plugins import BackendPlugin, PluginMetadata
        class CustomBackendPlugin(BackendPlugin):
            def get_metadata(self):
                return PluginMetadata(name="custom_backend", version="1.2.0", plugin_type="backend")
    """)
    (spec,) = found.specs
    assert (spec.kind, spec.name, spec.version, spec.authoring_style) == (
        "backend", "custom_backend", "1.2.0", "tracelet",
    )  # fmt: skip


def test_a_base_under_another_name_or_in_the_same_file_counts():
    found = scan("""
        from x import CollectorPlugin as Collector
        class A(Collector):
            pass
        class B(A):
            pass
    """)
    assert [(s.kind, s.name) for s in found.specs] == [("collector", "A"), ("collector", "B")]


def test_an_abstract_class_is_no_plugin():
    found = scan("""
        from abc import ABC, abstractmethod
        class Mine(Plugin, ABC):
            pass
        class Other(Plugin):
            @abstractmethod
            def x(self): ...
    """)
    assert not found.specs


def test_source_that_can_not_be_read_is_a_problem_with_its_line():
    (problem,) = scan("x = 1\nclass :\n").problems
    assert problem.name == "mod"
    assert problem.message.startswith("mod.py, line 2: SyntaxError")


def test_a_declaration_that_is_not_constant_is_a_problem():
    (problem,) = scan("""
        class A:
            plugin = make()
    """).problems
    assert "mod.py, line 3: A.plugin: expected a dict of constants" in problem.message


def test_the_third_argument_of_a_scheduler_is_its_description():
    text = (
        "class Mine(BaseSchedulerPlugin):\n"
        "    def __init__(self):\n"
        "        super().__init__('Mine', '1.2.0', 'The last worker')\n"
    )
    (spec,) = scan_source(text, module="mine", file="mine.py", origin="test").specs
    assert (spec.kind, spec.name, spec.version) == ("scheduler", "Mine", "1.2.0")
    assert spec.description == "The last worker"
