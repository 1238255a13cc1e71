"""From what a person calls a backend to what can be made."""

import pytest

from steelyard.app.composition import standard_host
from steelyard.app.track.backends import (
    BackendSpec,
    backend_specs,
    maker,
    require,
    rules_of,
    typed_options,
)
from steelyard.domain.track.routing import Rule
from steelyard.kernel.errors import ConfigError, PluginError, UsageError
from steelyard.runtime.track.methods_backend import MethodsBackend


class Own:
    name = "own"

    def open(self, run):
        return ""

    def log(self, items):
        """Not called."""

    def flush(self):
        """Not called."""

    def close(self, end):
        """Not called."""


class Methods:
    def log_metric(self, name, value, iteration=None):
        """Not called."""

    def log_params(self, params):
        """Not called."""

    def log_artifact(self, local_path, artifact_path):
        """Not called."""


def labels(given):
    return [(spec.label, spec.name) for spec in backend_specs(given)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", []),
        ("local", []),
        ("mlflow", [("mlflow", "mlflow")]),
        ("mlflow, wandb", [("mlflow", "mlflow"), ("wandb", "wandb")]),
        (["local", "mlflow"], [("mlflow", "mlflow")]),
        ({"local": {"directory": "x"}}, [("local", "local")]),
        ({"eu": {"plugin": "mlflow"}, "us": {"plugin": "mlflow"}},
         [("eu", "mlflow"), ("us", "mlflow")]),
        ({"mlflow": None}, [("mlflow", "mlflow")]),
        (Own(), [("own", "own")]),
        ([Methods(), "jsonl"], [("Methods", "Methods"), ("jsonl", "jsonl")]),
        ({"mine": Own()}, [("mine", "own")]),
    ],
)  # fmt: skip
def test_a_backend_is_named_in_many_ways(given, found):
    assert labels(given) == found


@pytest.mark.parametrize(
    "given", [None, 3, object(), ["mlflow", "mlflow"], {"a/b": {}}, [None, 3.5]]
)
def test_what_is_no_backend_is_refused(given):
    with pytest.raises(UsageError):
        backend_specs(given)


def test_no_secret_is_kept_beside_a_run():
    options = {
        "tracking_uri": "http://127.0.0.1", "api_token": "x", "password": "x", "access_key": "x",
        "url": "http://me:secret@127.0.0.1",
    }  # fmt: skip
    spec = BackendSpec(name="m", label="m", options=options)
    assert spec.shown_options() == {"tracking_uri": "http://127.0.0.1"}


def test_a_backend_is_checked_before_it_is_used():
    host = standard_host()
    require(backend_specs({"jsonl": {"directory": "x"}}), host)
    with pytest.raises(PluginError, match="Did you mean 'jsonl'"):
        require(backend_specs("jsonnl"), host)
    with pytest.raises(ConfigError, match="directory"):
        require(backend_specs({"local": {}}), host)


def test_a_backend_is_made_in_the_style_it_is_written_in(tmp_path):
    (spec,) = backend_specs({"jsonl": {"directory": str(tmp_path)}})
    made = maker(spec)()
    assert type(made).__name__ == "JsonlBackend"
    own = Own()
    assert maker(backend_specs(own)[0])() is own
    assert isinstance(maker(backend_specs(Methods())[0])(), MethodsBackend)


def test_a_rule_is_written_as_a_mapping_too():
    assert rules_of([{"to": "mlflow", "name": "gpu/*"}, Rule(to=())]) == (
        Rule(to=("mlflow",), name="gpu/*"), Rule(to=()),
    )  # fmt: skip
    for bad in ({"to": "x", "naem": "y"}, {"name": "x"}, 3):
        with pytest.raises(UsageError, match="no routing rule"):
            rules_of([bad])


def test_options_that_are_texts_become_what_the_backend_takes():
    words = {"timeout_s": "1.5", "step": "false", "endpoint": "5", "headers": "{", "other": "7"}
    assert typed_options("otel", words) == {
        "timeout_s": 1.5, "step": False, "endpoint": "5", "headers": "{", "other": "7",
    }  # fmt: skip


def test_headers_are_not_kept_beside_a_run():
    spec = BackendSpec(name="otel", label="otel", options={"headers": {"x-team": "abc"}})
    assert spec.shown_options() == {}
