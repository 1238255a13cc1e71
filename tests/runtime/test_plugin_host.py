"""The host: a state and a sentence for each plugin, and nobody else harmed."""

import re
import textwrap

import pytest

from steelyard.kernel.errors import ConfigError, PluginError
from steelyard.plugins.registry import Registry
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import PluginState
from steelyard.runtime.discovery import discover
from steelyard.runtime.plugin_host import PluginHost

UI = """
    def update(self, stats, live): ...
    def close(self): ...
"""


class Quiet:
    """A ui that fits."""

    def __init__(self, width: int = 80) -> None:
        self.width = width

    def update(self, stats, live): ...

    def close(self): ...


class Other(Quiet):
    """Another one."""


@pytest.fixture
def make_host(tmp_path, monkeypatch):
    """Return a function that makes a host over plugin files."""

    def make(import_timeout_s=60.0, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return PluginHost(discover([tmp_path]), import_timeout_s=import_timeout_s)

    monkeypatch.setattr("sys.path", ["/", *__import__("sys").path])
    return make


def plugin(name, body=UI, kind="ui", before=""):
    return f"{before}\nclass P:\n    plugin = {{'kind': '{kind}', 'name': '{name}'}}\n{body}"


def failing(host, name, kind="ui"):
    """Load a plugin that must fail; return its state and reason."""
    with pytest.raises(PluginError) as caught:
        host.load(kind, name)
    assert caught.value.exit_code == 3
    return host.state(kind, name), host.why(kind, name)


def test_a_good_plugin_goes_from_discovered_to_validated(make_host):
    host = make_host(good=plugin("good"))
    assert host.state("ui", "good") is PluginState.DISCOVERED
    assert host.load("ui", "good").__name__ == "P"
    assert host.state("ui", "good") is PluginState.VALIDATED
    assert host.why("ui", "good") == ""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import module_that_is_not_there", "No module named 'module_that_is_not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_plugin_that_raises_on_import_fails_alone(make_host, before, said):
    """Not even SystemExit gets out; its neighbour works."""
    host = make_host(bad=plugin("bad", before=before), good=plugin("good"))
    state, why = failing(host, "bad")
    assert state is PluginState.FAILED
    assert said in why
    assert host.border.failures == {"ui 'bad'": 1}
    assert host.create("ui", "good")


def test_a_failed_plugin_is_not_tried_again_until_it_is_reset(make_host, tmp_path):
    host = make_host(bad=plugin("bad", before="raise RuntimeError('no luck')"))
    failing(host, "bad")
    (tmp_path / "bad.py").write_text(plugin("bad"))
    with pytest.raises(PluginError, match="is failed: .*no luck"):
        host.load("ui", "bad")
    host.reset("ui", "bad")
    assert host.load("ui", "bad")


def test_a_plugin_that_hangs_on_import_costs_its_timeout(make_host):
    host = make_host(
        import_timeout_s=0.2,
        bad=plugin("bad", before="import time; time.sleep(60)"),
        good=plugin("good"),
    )
    state, why = failing(host, "bad")
    assert (state, "did not finish importing within 0.2 s" in why) == (PluginState.FAILED, True)
    host.import_timeout_s = 60.0
    assert host.load("ui", "good")


def test_what_a_plugin_prints_on_import_is_kept_from_stdout(make_host, capsys):
    host = make_host(loud=plugin("loud", before="print('Welcome to Loud!')"))
    host.load("ui", "loud")
    assert capsys.readouterr().out == ""
    assert host.notes("ui", "loud") == ["printed on import: 'Welcome to Loud!'; use logging"]


def test_a_slow_import_is_noted(make_host):
    host = make_host(slow=plugin("slow", before="import time; time.sleep(1.1)"))
    host.load("ui", "slow")
    (note,) = host.notes("ui", "slow")
    assert re.match(r"took \d+\.\d s to import", note)


def test_a_class_that_is_not_there_is_named_with_those_that_are(make_host):
    host = make_host(good=plugin("good"))
    spec = host.spec("ui", "good")
    host.registry.add(
        PluginSpec(kind="ui", name="lost", target="good:Q", location=spec.location, origin="o")
    )
    _, why = failing(host, "lost")
    assert "good has no class 'Q'; expected one of P" in why


def test_a_class_that_lacks_a_method_fails_with_its_name(make_host):
    host = make_host(bad=plugin("bad", "    def update(self, stats): ...\n"))
    state, why = failing(host, "bad")
    assert state is PluginState.FAILED
    assert (
        "bad:P has update(self, stats); expected update(stats, live); has no method close()" in why
    )
    assert "steelyard.domain.bench.ports:Ui" in why


def test_validate_returns_what_is_missing(make_host):
    host = make_host(bad=plugin("bad", "    x = 1\n"), good=plugin("good"))
    assert host.validate("ui", "bad") == [
        "has no method update(stats, live)",
        "has no method close()",
    ]
    assert host.validate("ui", "good") == []


def test_a_disabled_plugin_is_listed_and_never_loaded(make_host):
    bomb = plugin("off", before="raise SystemExit").replace("'name'", "'enabled': False, 'name'")
    host = make_host(off=bomb)
    assert host.state("ui", "off") is PluginState.DISABLED
    with pytest.raises(PluginError, match="is disabled: disabled by directory"):
        host.load("ui", "off")


def test_a_missing_requirement_comes_with_its_install_line():
    registry = Registry()
    spec = PluginSpec(kind="ui", name="needy", target="a:B", requires=("absent-sdk>=2", "numpy"))
    registry.add(spec)
    host = PluginHost(registry)
    assert host.state("ui", "needy") is PluginState.MISSING_REQUIREMENT
    assert host.why("ui", "needy") == "absent-sdk>=2 is not installed"
    assert host.install_line("ui", "needy") == "pip install 'absent-sdk>=2'"
    with pytest.raises(PluginError, match="pip install 'absent-sdk>=2'"):
        host.load("ui", "needy")


def test_a_missing_requirement_of_a_tracelet_plugin_only_warns():
    registry = Registry()
    registry.add(
        PluginSpec(
            kind="backend",
            name="soft",
            target="a:B",
            requires=("absent-sdk",),
            authoring_style="tracelet",
        )
    )
    host = PluginHost(registry)
    assert host.state("backend", "soft") is PluginState.DISCOVERED
    assert host.notes("backend", "soft") == ["absent-sdk is not installed"]


SCHEMA = {"width": {"type": "integer", "default": 100}}


@pytest.fixture
def host():
    made = PluginHost()
    made.register("ui", "quiet", Quiet, config_schema=SCHEMA, priority=5, colour="none")
    return made


def test_a_registered_class_is_made_with_its_schemas_defaults(host):
    assert host.create("ui", "quiet").width == 100
    assert host.create("ui", "quiet", width=7).width == 7
    spec = host.spec("ui", "quiet")
    assert (spec.priority, spec.metadata, spec.origin) == (5, {"colour": "none"}, "registered")


def test_wrong_configuration_is_told_per_field(host):
    with pytest.raises(ConfigError) as caught:
        host.create("ui", "quiet", width="wide", widht=1)
    assert len(caught.value.problems) == 2
    assert host.state("ui", "quiet") is PluginState.VALIDATED


def test_an_option_that_the_class_does_not_take_is_told_with_its_signature(host):
    host.register("ui", "bare", Quiet)
    with pytest.raises(PluginError, match=r"expected Quiet\(width: int = 80\)"):
        host.create("ui", "bare", colour="red")


def test_a_constructor_that_raises_is_named_and_counted(host):
    class Grumpy(Quiet):
        def __init__(self):
            raise ZeroDivisionError("always")

    host.register("ui", "grumpy", Grumpy)
    with pytest.raises(PluginError, match="ui 'grumpy' failed to start up: ZeroDivisionError: al"):
        host.create("ui", "grumpy")
    assert host.border.failures["ui 'grumpy'"] == 1


def test_an_error_meant_for_the_user_passes_the_border_unchanged(host):
    class Strict(Quiet):
        def __init__(self):
            raise ConfigError("line 3 is wrong")

    host.register("ui", "strict", Strict)
    with pytest.raises(ConfigError, match="line 3 is wrong"):
        host.create("ui", "strict")


def test_a_name_is_registered_once(host):
    with pytest.raises(PluginError, match="ui 'quiet' is taken by registered"):
        host.register("ui", "quiet", Other)


def test_a_class_that_does_not_fit_is_not_registered(host):
    with pytest.raises(PluginError, match="has no method close"):
        host.register("ui", "text", str)
    assert host.names("ui") == ["quiet"]


def test_a_replacement_lasts_as_long_as_its_block(host):
    """Tests put a class under a name, and the host is as before afterwards, whatever happens."""
    with host.replaced("ui", "quiet", Other), host.replaced("ui", "extra", Other):
        assert host.load("ui", "quiet") is Other
        assert host.names("ui") == ["extra", "quiet"]
    assert host.load("ui", "quiet") is Quiet
    assert host.names("ui") == ["quiet"]
    with pytest.raises(KeyError), host.replaced("ui", "quiet", Other):
        raise KeyError
    assert host.load("ui", "quiet") is Quiet


def test_disabled_by_hand_and_enabled_again(host):
    host.disable("ui", "quiet")
    with pytest.raises(PluginError, match="disabled by hand"):
        host.create("ui", "quiet")
    with pytest.raises(PluginError, match="can't become disabled"):
        host.disable("ui", "quiet")
    host.reset("ui", "quiet")
    assert host.load("ui", "quiet") is Quiet


def test_unregistered_plugins_are_gone(host):
    host.unregister("ui", "quiet")
    with pytest.raises(PluginError, match="Unknown ui 'quiet'"):
        host.load("ui", "quiet")


def test_plugins_start_after_those_they_name(host):
    host.register("custom", "db", Other, plugins=["log"])
    host.register("custom", "log", Other)
    host.register("integration", "pool", Other, plugins=["custom:db", "quiet"])
    order = [s.name for s in host.order([("integration", "pool")])]
    assert set(order) == {"log", "db", "quiet", "pool"}
    assert order.index("log") < order.index("db") < order.index("pool") == 3


def test_a_circle_among_plugins_names_them(host):
    host.register("custom", "a", Other, plugins=["b"])
    host.register("custom", "b", Other, plugins=["a"])
    with pytest.raises(PluginError, match="custom:a -> custom:b|custom:b -> custom:a"):
        host.order([("custom", "a")])


def test_a_need_that_is_not_installed_is_named(host):
    host.register("custom", "a", Other, plugins=["ghost"])
    with pytest.raises(PluginError, match="'custom:a' needs plugin 'ghost'"):
        host.order([("custom", "a")])
