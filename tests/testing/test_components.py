"""A missing component skips on a laptop and fails in CI."""

import pytest

from steelyard.testing.components import require_component

PLUGIN = ("-p", "steelyard.testing.components", "-p", "no:cacheprovider")

NEEDY = """
    import pytest
    from steelyard.testing.components import require_component

    def test_needy():
        require_component("the moon", executable="no-such-program", install="make moon")

    @pytest.fixture
    def moon():
        require_component("the moon", module="no_such_module", install="make moon")

    def test_needy_fixture(moon):
        raise AssertionError

    @pytest.mark.skip(reason="says nothing about components")
    def test_put_aside():
        raise AssertionError
"""
IMPORTING = """
    import pytest
    pytest.importorskip("no_such_module")
    def test_never(): pass
"""


def test_on_a_laptop_the_skip_says_what_to_install(pytester, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(NEEDY)
    result = pytester.runpytest_subprocess(*PLUGIN, "-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["*needs the moon; install it with: make moon*"])


def test_in_ci_a_missing_component_fails(pytester, monkeypatch):
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(NEEDY)
    result = pytester.runpytest_subprocess(*PLUGIN)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*In CI every component must be there: needs the moon*"])
    counts = result.parseoutcomes()
    assert counts["skipped"] == 1
    assert counts.get("failed", 0) + counts.get("errors", 0) == 2


def test_in_ci_a_module_that_skips_itself_for_an_import_fails(pytester, monkeypatch):
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(IMPORTING)
    result = pytester.runpytest_subprocess(*PLUGIN)
    assert result.ret != pytest.ExitCode.OK
    assert "could not import" in result.stdout.str()


@pytest.mark.parametrize("there", [{"module": "json"}, {"executable": "sh"}, {"present": True}])
def test_what_is_there_is_not_skipped(there):
    require_component("it", install="nothing", **there)
