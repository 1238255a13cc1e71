"""Plugins are found by reading manifests, package metadata and source, never by importing."""

import sys
import textwrap

import pytest

from steelyard.runtime.discovery import builtin_manifest, discover, read_manifest
from steelyard.runtime.plugin_host import PluginHost

BOMB = "raise SystemExit('this module must not be imported')\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a directory on sys.path into which packages are installed by hand."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        if name.startswith(("stranger", "steelyard_plugin_")):
            del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def install(site, dist, entry_points, version="1.2"):
    """Write the metadata that an installer writes."""
    info = site / f"{dist}-{version}.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
    write(info / "entry_points.txt", entry_points)


def found(name, *dirs):
    return [s for s in discover(dirs) if s.name == name]


def problem_of(name, *dirs):
    (problem,) = [p for p in discover(dirs).problems if p.name == name]
    return problem


def test_our_batteries_are_one_manifest_without_mistakes():
    manifest = builtin_manifest()
    assert not manifest.problems
    assert {"chat", "completions"} <= {s.name for s in manifest.specs if s.kind == "endpoint"}
    assert all(s.description for s in manifest.specs)


@pytest.mark.parametrize("group", ["steelyard.plugins", "aiperf.plugins", "tracelet.plugins"])
def test_a_package_is_found_by_its_version_entry_point(site, group):
    """`pkg:__version__` names a package whose registry.yaml is read, not run."""
    write(site / "stranger" / "__init__.py", BOMB)
    write(
        site / "stranger" / "registry.yaml",
        """
        plugin: {name: stranger, version: 1.0.0}
        phase_hooks:
          strange_hook: {class: "stranger.hooks:Hook", priority: 50}
        """,
    )
    install(site, "stranger-dist", f"[{group}]\nstrange = stranger:__version__\n")
    (spec,) = found("strange_hook")
    assert spec.kind == "phase_hook"
    assert spec.origin == "entry point strange (stranger-dist 1.2)"
    assert "stranger" not in sys.modules


def test_a_package_named_by_two_groups_is_read_once(site):
    write(site / "stranger" / "__init__.py", "")
    write(site / "stranger" / "registry.yaml", "plugin: {name: s}\nui: {strange: 'stranger.x:Y'}\n")
    entry = "strange = stranger:__version__\n"
    install(site, "s", f"[steelyard.plugins]\n{entry}[aiperf.plugins]\n{entry}")
    registry = discover()
    assert len(found("strange")) == 1
    assert not registry.problems


def test_a_class_entry_point_is_read_from_its_source(site):
    """`pkg.module:Class` is listed with what the source says, without running it."""
    write(site / "stranger" / "__init__.py", BOMB)
    write(
        site / "stranger" / "backends.py",
        BOMB
        + """
class Custom(BackendPlugin):
    def get_metadata(self):
        return PluginMetadata(name="custom_backend", version="3.1", plugin_type="backend")
""",
    )
    install(site, "s", "[tracelet.plugins]\nwhatever = stranger.backends:Custom\n")
    (spec,) = found("custom_backend")
    assert (spec.kind, spec.version, spec.authoring_style) == ("backend", "3.1", "tracelet")
    assert spec.target == "stranger.backends:Custom"


def test_a_class_entry_point_may_state_its_kind_in_its_name(site):
    """Where the source says nothing, `kind.name = ...` does; without a kind it is custom."""
    write(site / "stranger.py", "class A:\n    pass\nB = A\n")
    install(
        site, "s", "[steelyard.plugins]\nendpoint.strange_a = stranger:A\nstrange_b = stranger:B\n"
    )
    assert [s.kind for s in found("strange_a")] == ["endpoint"]
    assert [s.kind for s in found("strange_b")] == ["custom"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("gone = stranger_gone:__version__", "package stranger_gone has no registry.yaml"),
        ("gone = stranger_gone.mod:Class", "there is no module stranger_gone.mod"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_a_problem(site, entry, reason):
    install(site, "s", f"[steelyard.plugins]\n{entry}\n")
    assert reason in problem_of("gone").message


def test_broken_yaml_is_a_problem_with_its_line(site):
    write(site / "stranger" / "__init__.py", "")
    write(site / "stranger" / "registry.yaml", "plugin: {name: s}\nendpoint:\n  a: [1\n  b: 2\n")
    install(site, "s", "[steelyard.plugins]\nstrange = stranger:__version__\n")
    message = problem_of("stranger").message
    assert "registry.yaml, line 4" in message


def test_a_missing_manifest_file_is_a_problem_not_an_error(tmp_path):
    manifest = read_manifest(tmp_path / "registry.yaml", origin="test")
    assert "No such file" in manifest.problems[0].message


def test_a_directory_gives_files_and_packages(tmp_path):
    """Files are scanned, packages with a manifest are read; private and test files are left."""
    write(
        tmp_path / "single.py",
        """
        class One:
            plugin = {"kind": "ui", "name": "one"}
        """,
    )
    write(tmp_path / "_private.py", "class X:\n    plugin = {'kind': 'ui', 'name': 'private'}\n")
    write(tmp_path / "test_it.py", "class X:\n    plugin = {'kind': 'ui', 'name': 'tested'}\n")
    write(tmp_path / "stranger_pack" / "__init__.py", "")
    write(
        tmp_path / "stranger_pack" / "registry.yaml",
        "plugin: {name: p}\nui: {two: 'stranger_pack.mod:Two'}\n",
    )
    origin = f"directory {tmp_path}"
    specs = [s for s in discover([tmp_path]) if s.origin == origin]
    assert sorted(s.name for s in specs) == ["one", "two"]
    assert {s.location for s in specs} == {str(tmp_path)}


def test_plugins_of_a_directory_can_be_loaded(tmp_path, site):
    """A file does not shadow an installed module of its name; packages import from there."""
    text = """
        class Quiet:
            plugin = {{"kind": "ui", "name": "{0}"}}
            def update(self, stats, live): ...
            def close(self): ...
    """
    write(tmp_path / "json.py", text.format("quiet_json"))
    write(tmp_path / "stranger_pack" / "__init__.py", "")
    write(tmp_path / "stranger_pack" / "mod.py", text.format("ignored"))
    write(
        tmp_path / "stranger_pack" / "registry.yaml",
        "plugin: {name: p}\nui: {quiet_pack: 'stranger_pack.mod:Quiet'}\n",
    )
    host = PluginHost.standard([tmp_path])
    try:
        assert host.create("ui", "quiet_json").close() is None
        assert host.create("ui", "quiet_pack").close() is None
    finally:
        sys.path.remove(str(tmp_path))
    import json

    assert json.loads("1") == 1


HOOK = """
    class OkUi:
        plugin = {"kind": "ui", "name": "from_the_class"}
        def update(self, stats, live): ...
        def close(self): ...
"""


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("stranger_ok.py", "stranger_ok:OkUi"),
        ("stranger_in/mod.py", "stranger_in.mod:OkUi"),
        ("mod.py", "stranger_root.mod:OkUi"),
    ],
)
def test_a_manifest_at_the_root_of_a_directory_finds_its_modules(
    tmp_path, site, monkeypatch, module, target
):
    """They lie beside it, in a package beside it, or the directory is the package."""
    root = tmp_path / "stranger_root"
    write(root / module, HOOK)
    if target.startswith("stranger_root."):
        write(root / "__init__.py", "")
    write(root / "registry.yaml", f"plugin: {{name: p}}\nui: {{ok: '{target}'}}\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    host = PluginHost.standard([root])
    assert host.create("ui", "ok").close() is None
    assert not host.problems


def test_a_class_that_the_manifest_lists_is_not_found_twice(tmp_path):
    write(tmp_path / "stranger_ok.py", HOOK)
    write(tmp_path / "registry.yaml", "plugin: {name: p}\nui: {ok: 'stranger_ok:OkUi'}\n")
    assert found("ok", tmp_path)
    assert not found("from_the_class", tmp_path)


def test_a_directory_that_is_not_there_is_a_problem(tmp_path):
    assert "does not exist" in problem_of("nowhere", tmp_path / "nowhere").message


def test_a_stranger_does_not_displace_a_battery(tmp_path):
    write(tmp_path / "x.py", "class X:\n    plugin = {'kind': 'endpoint', 'name': 'chat'}\n")
    registry = discover([tmp_path])
    assert registry.get("endpoint", "chat").origin == "builtin"
    (problem,) = [p for p in registry.problems if p.name == "chat"]
    assert problem.message == "the name endpoint 'chat' is taken by builtin"
