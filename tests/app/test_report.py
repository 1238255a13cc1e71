"""A report made again, and the pages of all consoles."""

import pytest
from rich.text import Text

from steelyard.app.report import pages, plugin_dirs_of, rebuild
from steelyard.kernel.errors import PluginError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.journals import answered, fake_plan, record_batch, refused, write_journal


@pytest.fixture
def host():
    return PluginHost.standard()


def make_run(directory, rows, **plan):
    write_journal(directory, fake_plan(directory, **plan), [record_batch(rows)])


def test_a_verdict_that_the_plan_fails_on_is_exit_code_one(tmp_path, host):
    rows = [refused(0, start_ms=0)]
    make_run(tmp_path / "strict", rows)
    make_run(tmp_path / "lenient", rows, fail_on=())
    assert rebuild(tmp_path / "strict", host).exit_code == 1
    assert rebuild(tmp_path / "lenient", host).exit_code == 0


def test_an_unknown_exporter_is_refused_before_anything_is_written(tmp_path, host):
    make_run(tmp_path, [answered(0, start_ms=0, ttft_ms=5)])
    with pytest.raises(PluginError, match="parqet"):
        rebuild(tmp_path, host, ["json", "parqet"])
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_the_runs_own_plugin_directories_are_known(tmp_path):
    make_run(tmp_path, [answered(0, start_ms=0, ttft_ms=5)], options={"plugin_dirs": ["mine"]})
    assert plugin_dirs_of(tmp_path) == ("mine",)


class RowCounter:
    def render(self, view):
        return Text(f"{len(view.rows())} rows")


class Broken:
    def render(self, view):
        message = "no paint left"
        raise RuntimeError(message)


def test_a_console_may_read_records_and_a_broken_one_is_named(tmp_path, host):
    make_run(tmp_path, [answered(i, start_ms=0, ttft_ms=5) for i in range(3)])
    host.register("console", "rows", RowCounter, priority=1)
    host.register("console", "broken", Broken, priority=2)
    rebuilt = rebuild(tmp_path, host)
    first, second, *_ = pages(rebuilt.summary, str(tmp_path), host)
    assert str(first) == "3 rows"
    assert "no paint left" in second
    assert list(tmp_path.glob(".results-*")) == []
