"""A manifest is read entry by entry; what is wrong is named by file, section and key."""

import pytest

from steelyard.plugins.manifest import Manifest, kind_of, normal_target, parse_manifest

FILE = "pkg/registry.yaml"


def parse(data):
    return parse_manifest(data, file=FILE, origin="test")


def with_entry(entry, section="endpoint", name="hello"):
    return parse({"plugin": {"name": "p", "version": "2.1"}, section: {name: entry}})


def only_problem(manifest: Manifest) -> str:
    assert len(manifest.problems) == 1
    return manifest.problems[0].message


def test_a_reference_manifest_gives_its_specs():
    """The example of reference 000 is read: plural sections, priorities, header."""
    manifest = parse({
        "plugin": {"name": "ex", "version": "1.0.0", "description": "Example", "enabled": True},
        "phase_hooks": {
            "log": {"class": "ex.hooks:Log", "description": "Logger", "priority": 50},
        },
        "post_processors": {"m": {"class": "ex.processors:M", "priority": 60}},
    })  # fmt: skip
    assert not manifest.problems
    assert [(s.kind, s.name, s.target, s.priority, s.version) for s in manifest.specs] == [
        ("phase_hook", "log", "ex.hooks:Log", 50, "1.0.0"),
        ("post_processor", "m", "ex.processors:M", 60, "1.0.0"),
    ]


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("endpoint", "endpoint"),
        ("endpoints", "endpoint"),
        ("Phase-Hooks", "phase_hook"),
        ("uis", "ui"),
        ("gpu_telemetry_collector", "telemetry_collector"),
        ("gpu_telemetry_collectors", "telemetry_collector"),
        ("console_exporter", "console"),
        ("data_exporter", "exporter"),
        ("accuracy benchmarks", "accuracy_benchmark"),
        ("ci_providers", "ci_provider"),
        ("searches_of_mine", "custom"),
    ],
)
def test_a_section_means_a_kind(section, kind):
    """Singular, plural and the spellings of other tools name one kind."""
    assert kind_of(section) == kind


def test_a_strangers_kind_is_kept_as_custom():
    """Nothing of a stranger is dropped because we don't know the word."""
    (spec,) = with_entry({"class": "a.b:C"}, section="quantum_annealers").specs
    assert spec.kind == "custom"
    assert spec.metadata["declared_kind"] == "quantum_annealers"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, f"{FILE}: endpoint.hello.class: got nothing; expected 'package.module:Class'"),
        ({"class": "no-colon"}, f"{FILE}: endpoint.hello.class: got 'no-colon'"),
        ({"class": "a.b:C", "priority": "high"}, "endpoint.hello.priority: got 'high'; expected a"),
        ({"class": "a.b:C", "priority": True}, "endpoint.hello.priority: got True"),
        ({"class": "a.b:C", "requires": {"x": 1}}, "endpoint.hello.requires: got {'x': 1}"),
        ({"class": "a.b:C", "requires": [1]}, "endpoint.hello.requires: got 1; expected a list"),
        ({"class": "a.b:C", "enabled": "yes"}, "endpoint.hello.enabled: got 'yes'"),
        ({"class": "a.b:C", "metadata": []}, "endpoint.hello.metadata: got []"),
        ({"clas": "a.b:C"}, "endpoint.hello.clas: unknown key. Did you mean 'class'?"),
        ({"class": "a.b:C", "api_version": 99}, "endpoint.hello.api_version: got 99; this"),
        ({"class": "a.b:C", "authoring_style": "odd"}, "endpoint.hello.authoring_style: got 'odd'"),
        (17, "endpoint.hello: got 17; expected a mapping with the key 'class'"),
    ],
)
def test_a_wrong_entry_is_named_by_file_section_and_key(entry, said):
    assert said in only_problem(with_entry(entry))


def test_a_wrong_entry_costs_itself_only():
    """Its neighbours in the same manifest are read."""
    manifest = parse({
        "plugin": {"name": "p"},
        "endpoint": {"bad": {"class": 1}, "good": "pkg.mod:Good"},
        "dataset": ["not", "a", "mapping"],
        "exporter": None,
    })  # fmt: skip
    assert [s.name for s in manifest.specs] == ["good"]
    assert [(p.kind, p.name) for p in manifest.problems] == [("endpoint", "bad"), ("dataset", "?")]


def test_all_mistakes_of_an_entry_are_said_at_once():
    message = only_problem(with_entry({"priority": "high", "enabled": 3}))
    assert "priority" in message
    assert "enabled" in message
    assert "class" in message


@pytest.mark.parametrize("data", [None, [], "text", {"endpoint": {}}, {"plugin": "name"}])
def test_a_manifest_without_a_header_is_refused_whole(data):
    manifest = parse(data)
    assert not manifest.specs
    assert only_problem(manifest).startswith(FILE)


def test_the_header_gives_defaults_that_an_entry_overrides():
    manifest = parse({
        "plugin": {"name": "p", "version": "2.1", "enabled": False},
        "endpoint": {"a": "m:A", "b": {"class": "m:B", "enabled": True, "version": "3"}},
    })  # fmt: skip
    a, b = manifest.specs
    assert (a.enabled, a.version) == (False, "2.1")
    assert (b.enabled, b.version) == (True, "3")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("a.b:C", "a.b:C"),
        ("a.b:C.D", "a.b:C.D"),
        ("custom_package.CustomBackendPlugin", "custom_package:CustomBackendPlugin"),
        ("C", None),
        ("a b:C", None),
        ("a:b:C", None),
        ("", None),
    ],
)
def test_a_class_is_named_with_colon_or_dot(text, target):
    assert normal_target(text) == target
