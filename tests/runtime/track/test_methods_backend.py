"""A backend with one method per thing."""

import pytest

from steelyard.domain.track.events import Artifact, Metric, Params, RunEnded, Tags
from steelyard.runtime.track.methods_backend import MethodsBackend, has_methods
from steelyard.testing.contracts.backend import facts, points


class Plugin:
    def __init__(self, fail_at=None):
        self.calls, self.fail_at = [], fail_at

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")

    def log_metric(self, name, value, iteration=None):
        if len(self.calls) == self.fail_at:
            self.fail_at = None
            raise KeyError("an error of its own")
        self.calls.append((name, value, iteration))

    def log_params(self, params):
        self.calls.append(params)

    def log_artifact(self, local_path, artifact_path):
        self.calls.append((local_path, artifact_path))


def test_each_item_is_a_call_in_order():
    plugin = Plugin()
    backend = MethodsBackend(plugin)
    assert backend.open(facts()) == facts().run_id
    delivery = backend.log([
        Metric(name="loss", value=0.5, step=0, wall_ns=1),
        Params(values={"lr": 0.1}, wall_ns=1),
        Tags(values={"a": "b"}, wall_ns=1),
        Artifact(name="m.bin", sha256="00", size=1, path="/blob", wall_ns=1),
    ])  # fmt: skip
    backend.flush()
    backend.close(RunEnded(status="finished"))
    assert plugin.calls == ["start", ("loss", 0.5, 0), {"lr": 0.1}, ("/blob", "m.bin"), "stop"]
    assert delivery.taken == 4
    assert delivery.refused == {2: "it has no method for a tag"}


def test_what_was_done_before_an_error_is_not_done_again():
    plugin = Plugin(fail_at=3)
    backend = MethodsBackend(plugin)
    backend.open(facts())
    items = points(6)
    with pytest.raises(KeyError):
        backend.log(items)
    assert backend.log(items).taken == 6
    assert [call[1] for call in plugin.calls[1:]] == [item.value for item in items]


def test_what_it_says_it_can_not_take_is_refused():
    plugin = Plugin()
    plugin.can_handle_type = lambda kind: kind != "scalar"
    delivery = MethodsBackend(plugin).log(points(2))
    assert (plugin.calls, delivery.refused) == (
        [],
        dict.fromkeys((0, 1), "it has no method for a scalar"),
    )


def test_a_backend_is_told_by_its_methods():
    assert has_methods(Plugin())
    assert not has_methods("mlflow")
