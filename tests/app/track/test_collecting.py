"""Collectors beside a run: chosen, asked, logged with their source, and never in the way."""

import os
import re
import sys
import threading
import time

import pytest

from steelyard.app.composition import standard_host
from steelyard.app.track.collecting import DEFAULT, STOP_S, collector_specs
from steelyard.domain.track.events import MetricsLogged
from steelyard.domain.track.ports import Noted
from steelyard.kernel.errors import ConfigError, PluginError, UsageError
from steelyard.runtime.track.layout import Store
from steelyard.runtime.track.reader import facts_of
from steelyard.track import Experiment, get_active_experiment, start_logging, stop_logging


class Mine:
    """A collector of a script's own."""

    period_s = 0.1

    def __init__(self, start=0):
        self.count = start

    def facts(self):
        return Noted({"version": {"major": 2}}, {"room": "7"}, {"note.txt": b"hello"})

    def collect(self):
        self.count += 1
        return {"count": self.count, "nested": [{"deep": 1.5}], "text": "no number"}


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("STEELYARD_TRACK_COLLECTORS", raising=False)


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def count_of(run, name):
    return run.metrics[name].count if name in run.metrics else 0


def run_with(collectors, is_enough=lambda run: True, **options):
    """Return a run that ended when its collectors had said enough."""
    with Experiment("e", collectors=collectors, **options) as experiment:
        wait_for(lambda: is_enough(experiment.snapshot()))
    return experiment


def collector_threads():
    return [t for t in threading.enumerate() if t.name.startswith("steelyard-collector")]


def test_what_is_given_becomes_collectors():
    names = lambda given: [spec.label for spec in collector_specs(given)]  # noqa: E731  short
    assert names(None) == names(False) == names("none") == names([]) == []
    assert names(True) == names("default") == list(DEFAULT)
    assert names("system, git") == names(["system", "git"]) == ["system", "git"]
    assert names({"system": {}, "git": None, "gpu": False}) == ["system", "git"]
    mine = Mine()
    assert names([mine]) == names(mine) == names(Mine) == ["Mine"]
    assert names({"own": mine}) == ["own"]
    (spec,) = collector_specs({"a": {"plugin": "system", "period_s": 0.5, "disk": ""}})
    assert (spec.label, spec.name, spec.period_s, spec.options) == (
        "a",
        "system",
        0.5,
        {"disk": ""},
    )


def test_a_named_one_comes_before_the_usual_of_its_name():
    specs = collector_specs(["default", {"system": {"period_s": 0.1}}])
    assert len(specs) == len(DEFAULT)
    (system,) = [spec for spec in specs if spec.label == "system"]
    assert (system.period_s, system.is_optional) == (0.1, False)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["system", "system"], UsageError, "Two collectors are called 'system'"),
        ({"system": {"period_s": 0.01}}, UsageError, "period_s of 0.1 seconds or more"),
        (3, UsageError, "This is no collector"),
        ({"a": {"plugin": 3}}, UsageError, "This is no collector"),
        ("sytem", PluginError, "Unknown collector 'sytem'"),
        ({"system": {"disks": 1}}, ConfigError, "disks"),
        ({"../up": Mine()}, UsageError, "directory's name"),
    ],
)
def test_what_is_wrong_is_said_before_the_run_begins(given, error, words, store_directory):
    with pytest.raises(error, match=words):
        Experiment("e", collectors=given).start()
    assert get_active_experiment() is None
    assert not list(Store(store_directory).places())
    assert collector_threads() == []


def test_a_collector_of_the_scripts_own_is_asked_and_kept():
    """Numbers, also nested ones, as metrics with its source; facts as parameters, tags, files."""
    experiment = run_with(Mine(), lambda run: count_of(run, "Mine/count") >= 2)
    run = experiment.snapshot()
    assert set(run.metrics) == {"Mine/count", "Mine/nested/0/deep"}
    assert run.metrics["Mine/count"].count >= 2
    assert run.params == {"Mine.version.major": 2}
    assert run.tags["Mine.room"] == "7"
    assert experiment.get_artifact("Mine/note.txt").read_bytes() == b"hello"
    sources = {f.source for f, _ in facts_of(experiment._place) if isinstance(f, MetricsLogged)}
    assert sources == {"collector:Mine"}
    assert collector_threads() == []


def test_the_usual_ones_tell_of_this_machine():
    """Those that find nothing here (a GPU, a cluster) are silent."""

    def is_enough(run):
        files = {kept.name for kept in run.artifacts}
        told = {"system/cpu_percent", "process/rss_bytes"} <= set(run.metrics)
        return told and "environment/packages.txt" in files

    experiment = run_with(True, is_enough)
    run = experiment.snapshot()
    assert run.params["environment.python"].startswith(f"{sys.version_info[0]}.")
    assert "environment/packages.txt" in {a.name for a in experiment.list_artifacts()}
    remarks = [text for tag, text in run.tags.items() if tag.startswith("collector.")]
    late = re.compile(r"\d+ samples, \d+ beats missed")  # as on a machine that stood still
    assert not [text for text in remarks if not late.fullmatch(text)]


def test_the_environment_chooses_where_the_script_does_not(monkeypatch):
    monkeypatch.setenv("STEELYARD_TRACK_COLLECTORS", "process,environment")
    start_logging("e")
    experiment = get_active_experiment()
    wait_for(lambda: "environment.python" in experiment.snapshot().params)
    stop_logging()
    assert run_with(False).snapshot().params == {}


def test_each_call_of_a_function_has_its_own():
    @Experiment("e", collectors={"own": {"plugin": Mine, "start": 10}})
    def work():
        experiment = get_active_experiment()
        wait_for(lambda: count_of(experiment.snapshot(), "own/count"))
        return experiment

    first, second = work(), work()
    for experiment in (first, second):
        assert experiment.snapshot().metrics["own/count"].low == 11


def test_steps_of_collectors_are_their_own_and_go_on_with_the_run():
    """Whatever iteration the script is at; a run that goes on counts on."""
    with Experiment("e", collectors=Mine()) as experiment:
        experiment.set_iteration(1000)
        wait_for(lambda: count_of(experiment.snapshot(), "Mine/count") >= 2)
        experiment.log_metric("loss", 1.0)
    before = experiment.snapshot().metrics["Mine/count"]
    assert before.last_step == before.count - 1
    again = run_with(
        Mine(), lambda run: count_of(run, "Mine/count") > before.count, run_id=experiment.run_id
    )
    after = again.snapshot().metrics["Mine/count"]
    assert after.last_step == after.count - 1


def test_one_that_fails_harms_nobody(caplog):
    class Fails(Mine):
        def collect(self):
            raise SystemExit(3)

    experiment = run_with(
        [Fails(), Mine()],
        lambda run: "collector.Fails" in run.tags and count_of(run, "Mine/count"),
    )
    run = experiment.snapshot()
    assert run.status == "finished"
    assert run.tags["collector.Fails"].startswith("given up: ")
    assert "Mine/count" in run.metrics
    assert caplog.text.count("given up") == 1


def test_one_that_hangs_holds_the_end_up_for_a_bounded_time_and_logs_nothing_after(caplog):
    asked, release = threading.Event(), threading.Event()

    class Hangs(Mine):
        def collect(self):
            asked.set()
            release.wait(100)
            return {"late": 1}

    begun = time.monotonic()
    experiment = run_with(Hangs(), lambda run: asked.is_set())
    assert time.monotonic() - begun < STOP_S + 60
    assert "did not end in time: Hangs" in caplog.text
    release.set()
    for thread in collector_threads():
        thread.join(30)
    assert experiment.snapshot().metrics == {}
    assert experiment.snapshot().status == "finished"
    assert "given up" not in caplog.text


def test_a_run_that_fails_keeps_its_error():
    experiment = Experiment("e", collectors=Mine())

    def work():
        with experiment:
            wait_for(lambda: count_of(experiment.snapshot(), "Mine/count"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert experiment.snapshot().status == "failed"


def test_a_forked_child_collects_nothing_and_ends_nothing():
    """It logs and leaves; the parent's collectors go on."""
    with Experiment("e", collectors=Mine()) as experiment:
        wait_for(lambda: count_of(experiment.snapshot(), "Mine/count"))
        pid = os.fork()
        if pid == 0:
            experiment.log_metric("child", 1.0)
            experiment.stop()
            os._exit(len(collector_threads()))
        assert os.waitpid(pid, 0)[1] == 0
        before = count_of(experiment.snapshot(), "Mine/count")
        wait_for(lambda: count_of(experiment.snapshot(), "Mine/count") > before)
    run = experiment.snapshot()
    assert run.metrics["child"].count == 1
    assert run.status == "finished"


def test_rules_tell_collectors_apart(tmp_path):
    """A mirror that is told nothing of collectors has the script's own values only."""
    experiment = run_with(
        Mine(), lambda run: count_of(run, "Mine/count"),
        backend={"jsonl": {"directory": str(tmp_path / "out")}},
        routing=[{"to": [], "source": "collector:*", "type": "scalar"}],
    )  # fmt: skip
    text = (tmp_path / "out" / experiment.run_id / "events.jsonl").read_text()
    assert "Mine/count" not in text
    assert "Mine.version.major" in text


def test_ten_a_second_cost_a_script_next_to_nothing():
    """Of processor time, whatever else runs; benchmarks/collectors.py has the numbers."""
    experiment = Experiment("e", collectors={"system": {"period_s": 0.1}})

    def count():
        return count_of(experiment.snapshot(), "system/cpu_percent")

    with experiment:
        wait_for(count)
        (thread,) = collector_threads()
        clock = time.pthread_getcpuclockid(thread.ident)
        before, begun_s = count(), time.clock_gettime(clock)
        wait_for(lambda: count() >= before + 10)
        used_s = time.clock_gettime(clock) - begun_s
        assert used_s / (count() - before) < 0.02


MANIFEST = """\
plugin: {name: my-package, version: 1.0.0, description: Vendor telemetry, enabled: true}

gpu_telemetry_collector:
  my_local_gpu:
    class: my_package.gpu:MyLocalGPUCollector
    description: Local GPU telemetry collector using vendor Python bindings.
    metadata:
      is_local: true
"""
VENDOR = """\
import os


class MyLocalGPUCollector:
    @classmethod
    def validate_environment(cls):
        if os.environ.get("BINDINGS") != "here":
            raise RuntimeError("vendor bindings are missing")

    def collect(self):
        return {"gpu_utilization": 93}
"""


@pytest.fixture
def vendor_package(tmp_path, monkeypatch):
    """The local GPU collector of document 002, with its manifest as printed."""
    package = tmp_path / "plugins" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "registry.yaml").write_text(MANIFEST)
    (package / "gpu.py").write_text(VENDOR)
    monkeypatch.setenv("STEELYARD_PLUGIN_DIRS", str(package.parent))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


def test_a_local_gpu_collector_is_asked_by_name(vendor_package, monkeypatch):
    """Collectors that benchmarks ask are found too; `is_local` is their metadata."""
    monkeypatch.setenv("BINDINGS", "here")
    name = "my_local_gpu/gpu_utilization"
    run = run_with("my_local_gpu", lambda run: count_of(run, name)).snapshot()
    assert run.metrics[name].last == 93
    spec = standard_host().spec("telemetry_collector", "my_local_gpu")
    assert spec.metadata["is_local"] is True


def test_missing_bindings_are_told_at_once_and_the_run_goes_on(vendor_package, caplog):
    """By the class's own `validate_environment`, before anything is asked."""
    said = "without the collector 'my_local_gpu'"
    run = run_with("my_local_gpu", lambda run: said in caplog.text).snapshot()
    assert (run.status, run.metrics) == ("finished", {})
    assert "vendor bindings are missing" in caplog.text
