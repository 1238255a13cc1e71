"""Frameworks tell the run that asked, for as long as it runs, and nobody else."""

import importlib
import os
import sys
import threading
import time
import types

import pytest

from steelyard.app.track.experiment import Experiment
from steelyard.app.track.patching import prepare
from steelyard.app.track.run_sink import LEFT_OUT_TAG, NAMES_MAX
from steelyard.domain.track.ports import Delivery
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.saboteurs.framework import Library, Listens

TOY = "toy_training"


class Scaled(Listens):
    """Tells a value times an option of the run."""

    def add(self, sink, result, writer, name, value, step):
        """As above."""
        sink.log_metrics({name: result * sink.options.get("scale", 1)}, step)


class Buggy(Listens):
    """Fails at its second value."""

    def add(self, sink, result, writer, name, value, step):
        """As above."""
        if step:
            message = "a bug of ours"
            raise ZeroDivisionError(message)
        sink.log_metrics({name: result}, step)


@pytest.fixture
def library(monkeypatch):
    """Return a library that is imported."""
    made = Library()
    monkeypatch.setitem(sys.modules, TOY, made)
    return made


def host_of(cls, **metadata):
    host = PluginHost()
    host.register("framework", "toy", cls, **metadata)
    return host


@pytest.fixture
def host():
    schema = {"scale": {"type": "number", "default": 1}}
    return host_of(Scaled, config_schema=schema)


def begin(name, host, automagic=True):
    """Return a run that hears the frameworks of `host`."""
    experiment = Experiment(name).start()
    attach = prepare(automagic, host=host)
    if attach is not None:
        attach(experiment)
    return experiment


def counts(experiment):
    return {name: series.count for name, series in experiment.snapshot().metrics.items()}


def test_a_run_is_told_until_it_stops(library, host):
    before = dict(vars(library.Writer))
    experiment = begin("a", host)
    library.train()
    experiment.stop()
    library.train()
    run = experiment.snapshot()
    assert counts(experiment) == {"loss": 4, "accuracy": 4}
    assert (run.metrics["loss"].last, run.metrics["loss"].last_step) == (0.25, 3)
    assert run.params == {"rate": 0.5}
    assert dict(vars(library.Writer)) == before


def test_values_have_the_framework_as_their_source(library, host):
    told = []

    class Backend:
        def open(self, run):
            return "reference"

        def log(self, items):
            told.extend(item for item in items if hasattr(item, "source"))
            return Delivery(len(items))

        def flush(self):
            """Nothing is held back."""

        def close(self, end):
            """Nothing is open."""

    experiment = Experiment("a", backend=Backend()).start()
    prepare(True, host=host)(experiment)
    library.train()
    experiment.stop()
    assert {item.source for item in told} == {"framework:toy"}
    assert len(told) == 8


def delivered(backend):
    writer = getattr(backend, "writer", None)
    return sum(map(len, writer.told.metrics.values())) if writer is not None else 0


def test_a_mirror_that_uses_a_framework_is_not_heard(library, host):
    """Otherwise each value it delivers would be another value of the run."""

    class Backend:
        def open(self, run):
            self.writer = library.Writer()
            return "reference"

        def log(self, items):
            for item in items:
                if hasattr(item, "step"):
                    self.writer.add(item.name, item.value, item.step)
            return Delivery(len(items))

        def flush(self):
            """Nothing is held back."""

        def close(self, end):
            """Nothing is open."""

    backend = Backend()
    experiment = Experiment("a", backend=backend).start()
    prepare(True, host=host)(experiment)
    library.train()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and delivered(backend) < 8:
        time.sleep(0.01)
    experiment.stop()
    assert counts(experiment) == {"loss": 4, "accuracy": 4}
    assert len(backend.writer.told.metrics["loss"]) == 4


def test_a_library_that_is_imported_later_is_heard_from_then_on(host, tmp_path, monkeypatch):
    (tmp_path / "toy_training.py").write_text(
        "class Writer:\n"
        "    def begin(self, rate):\n        '''Begin.'''\n"
        "    def add(self, name, value, step):\n        return value\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, TOY, raising=False)
    finders = list(sys.meta_path)
    experiment = begin("a", host)
    assert TOY not in sys.modules
    toy_training = importlib.import_module(TOY)

    toy_training.Writer().add("loss", 1.0, 0)
    experiment.stop()
    monkeypatch.delitem(sys.modules, TOY)
    assert counts(experiment) == {"loss": 1}
    assert sys.meta_path == finders


def test_a_library_that_is_never_imported_costs_nothing(host):
    finders = list(sys.meta_path)
    begin("a", host).stop()
    assert sys.meta_path == finders


def test_the_active_run_hears_and_each_has_its_own_options(library, host):
    """The inner of two; a run that did not ask hears nothing, and keeps it from the outer."""
    outer = begin("outer", host, {"toy": {"scale": 10}})
    library.Writer().add("loss", 1.0, 0)
    with Experiment("deaf") as deaf:
        library.Writer().add("loss", 1.0, 0)
    inner = begin("inner", host, ["toy"])
    library.Writer().add("loss", 1.0, 0)
    inner.stop()
    library.Writer().add("loss", 1.0, 1)
    outer.stop()
    assert counts(deaf) == {}
    assert (counts(outer), outer.snapshot().metrics["loss"].last) == ({"loss": 2}, 10.0)
    assert (counts(inner), inner.snapshot().metrics["loss"].last) == ({"loss": 1}, 1.0)


def test_runs_may_stop_in_any_order(library, host):
    """The first that asked may stop first: the hooks stay for the other."""
    before = library.Writer.add
    first, second = begin("first", host), begin("second", host)
    first.stop()
    library.Writer().add("loss", 1.0, 0)
    assert library.Writer.add is not before
    second.stop()
    assert library.Writer.add is before
    assert (counts(first), counts(second)) == ({}, {"loss": 1})


def test_threads_with_runs_of_their_own_are_told_apart(library, host):
    """Each trains in its own run; hooks come and go meanwhile."""
    before = dict(vars(library.Writer))
    found = {}

    def work(number):
        for turn in range(5):
            experiment = begin(f"{number}-{turn}", host)
            writer = library.Writer()
            for step in range(20):
                writer.add(f"loss{number}", 1.0, step)
            experiment.stop()
            found[number, turn] = counts(experiment)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {(n, t): {f"loss{n}": 20} for n in range(4) for t in range(5)}
    assert dict(vars(library.Writer)) == before


def test_a_run_that_begins_while_hooks_are_put_in_has_them(library):
    began, go, found = threading.Event(), threading.Event(), []

    class Slow(Scaled):
        def install(self, module, patches):
            began.set()
            assert go.wait(60)
            super().install(module, patches)

    def work():
        experiment = begin("a", host)
        library.Writer().add("loss", 1.0, 0)
        found.append(counts(experiment))

    host = host_of(Slow)
    threads = [threading.Thread(target=work) for _ in range(2)]
    threads[0].start()
    assert began.wait(60)
    threads[1].start()
    threads[1].join(0.3)
    go.set()
    for thread in threads:
        thread.join()
    assert found == [{"loss": 1}, {"loss": 1}]


def test_a_bug_in_a_hook_is_told_once_and_silences_the_framework(library, caplog):
    """The script goes on; the plugin is quarantined, and the next run does without it."""
    host = host_of(Buggy)
    experiment = begin("a", host)
    told = library.train()
    library.train()
    experiment.stop()
    assert len(told.metrics["loss"]) == 4
    assert counts(experiment) == {"loss": 1, "accuracy": 1}
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "a bug of ours" in caplog.text
    assert host.state("framework", "toy") is PluginState.QUARANTINED
    assert prepare(["toy"], host=host) is None
    assert prepare(True, host=host) is None


def test_a_library_that_has_changed_is_told_once_and_harms_nobody(monkeypatch, caplog):
    """As when a release takes away what is watched; the import goes on."""
    monkeypatch.setitem(sys.modules, TOY, types.ModuleType(TOY))
    host = host_of(Listens)
    begin("a", host).stop()
    assert "no attribute 'Writer'" in caplog.text
    assert host.state("framework", "toy") is PluginState.QUARANTINED


def test_names_are_bounded_for_a_run(library, host, caplog):
    """What is left out is counted, said once, and written into the run."""
    experiment = begin("a", host)
    writer = library.Writer()
    for number in range(NAMES_MAX + 5):
        writer.add(f"layer{number}", 1.0, 0)
    writer.add("layer0", 2.0, 1)
    experiment.stop()
    run = experiment.snapshot()
    assert len(run.metrics) == NAMES_MAX
    assert run.metrics["layer0"].count == 2
    assert run.tags == {LEFT_OUT_TAG: "5"}
    assert caplog.text.count("is not logged") == 1


def test_what_is_no_number_or_no_step_is_left_out(library, caplog):
    """And keeps nothing else out."""

    class Odd(Listens):
        def add(self, sink, result, writer, name, value, step):
            """Tell some that can't be told."""
            sink.log_metrics({"text": "x", "good": 1, "list": [1, 2]}, 3)
            sink.log_metrics({"late": 1.0}, -1)
            sink.log_metrics({"": 1.0, "fine": 2.0}, 4)

    experiment = begin("a", host_of(Odd))
    library.Writer().add("loss", 1.0, 0)
    experiment.stop()
    assert counts(experiment) == {"good": 1, "fine": 1}
    assert experiment.snapshot().tags == {LEFT_OUT_TAG: "4"}


def test_secrets_among_parameters_are_not_kept(library):
    class Tells(Listens):
        def begin(self, sink, writer, rate):
            """Tell a secret."""
            sink.log_params({"rate": rate, "api_token": "hunter2-but-longer"}, "toy")

    experiment = begin("a", host_of(Tells))
    library.Writer().begin(0.5)
    experiment.stop()
    params = experiment.snapshot().params
    assert params["toy.rate"] == 0.5
    assert "hunter2" not in str(params)


def test_parameters_that_have_no_end_are_cut_and_harm_nothing(library):
    class Tells(Listens):
        def begin(self, sink, writer, rate):
            """Tell a structure that holds itself, and an object without a text."""

            class Shy:
                def __str__(self):
                    message = "no text"
                    raise OSError(message)

            circle = {"rate": rate, "shy": Shy()}
            circle["again"] = circle
            sink.log_params(circle, "toy")

    experiment = begin("a", host_of(Tells))
    library.train()
    experiment.stop()
    assert experiment.snapshot().params["toy.rate"] == 0.5
    assert int(experiment.snapshot().tags[LEFT_OUT_TAG]) > 0
    assert counts(experiment) == {"loss": 4, "accuracy": 4}


def test_a_forked_child_tells_its_parents_run(library, host):
    experiment = begin("a", host)
    library.Writer().add("loss", 1.0, 0)
    pid = os.fork()
    if pid == 0:
        library.Writer().add("loss", 2.0, 1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    experiment.stop()
    assert counts(experiment) == {"loss": 2}
