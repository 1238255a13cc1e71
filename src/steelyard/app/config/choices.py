"""What a person left to us: the dataset, whether its times are replayed, a tokenizer's plugin."""

import importlib.util
import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from steelyard.app.config.dataset import TokenizerConfig
from steelyard.app.config.fields import Path
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.tree import Tree
from steelyard.plugins.spec import PluginSpec

SYNTHETIC = "synthetic"
_TOKENIZER_JSON = "tokenizer_json"
_FIRST_LINE_MAX = 1 << 20
_TRACE = "mooncake_trace"
_TRACE_MARKS = ("input_length", "text_input", "hash_ids")


class Specs(Protocol):
    """What is asked of a plugin host."""

    def specs(self, kind: str | None = None) -> list[PluginSpec]:
        """Return what is installed of a kind."""
        ...


def settle(config: BenchmarkConfig, tree: Tree, host: Specs) -> BenchmarkConfig:
    """Return `config` with its dataset's type, its tokenizer's plugin and its schedule named."""
    given = config.input
    if given.type is None:
        facts = next(
            (s.metadata for s in host.specs("endpoint") if s.name == config.endpoint.type), {}
        )
        path = resolve_file(given.file, tree, ("input", "file")) if given.file else ""
        given = given.model_copy(update={"type": dataset_type(config.endpoint.type, facts, path)})
    known = [spec.name for spec in host.specs("tokenizer")]
    tokenizer = _tokenizer(config.tokenizer, tree, known)
    load = config.load
    if load.fixed_schedule is None and not config.phases and given.type == _TRACE and given.file:
        path = resolve_file(given.file, tree, ("input", "file"))
        if _first_record(path).get("timestamp") is not None:
            load = load.model_copy(update={"fixed_schedule": True})
    return config.model_copy(update={"input": given, "tokenizer": tokenizer, "load": load})


def dataset_type(endpoint: str, facts: Mapping[str, Any], path: str) -> str:
    """Return the dataset for an input file, or for none.

    Args:
        endpoint: name of the endpoint.
        facts: its metadata.
        path: of the input file or directory; empty without one.
    """
    if not path:
        return "synthetic_rankings" if facts.get("sends_passages") else SYNTHETIC
    if endpoint == "raw":
        return "inputs_json" if path.endswith(".json") else "raw_payload"
    if os.path.isdir(path):  # noqa: PTH112  paths are strings here, as in a plan
        return "random_pool"
    fields = _first_record(path)
    if "turns" in fields:
        return "multi_turn"
    if any(mark in fields for mark in _TRACE_MARKS):
        return _TRACE
    return "single_turn"


def dataset_options(config: BenchmarkConfig) -> dict[str, Any]:
    """Return the dataset's options: those that have flags, under the names it knows them by."""
    given = config.input
    options = {name: value for name, value in given.rankings if value is not None}
    if given.isl_block_size is not None:
        options["block_size"] = given.isl_block_size
    return {**given.options, **options}


def endpoint_options(config: BenchmarkConfig) -> dict[str, Any]:
    """Return the endpoint's options: those that have keys of their own, and the rest."""
    given = config.endpoint
    own = {"payload_template": given.template.body, "response_field": given.template.response_field}
    return {**given.options, **{name: value for name, value in own.items() if value is not None}}


def _first_record(path: str) -> dict[str, Any]:
    """Return the first line of a JSONL file that isn't blank; nothing when it is no object."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123  as above
            head = file.read(_FIRST_LINE_MAX).lstrip()
        first = msgspec.json.decode(head.partition(b"\n")[0])
    except (OSError, ValueError):
        return {}  # the dataset says what is wrong with it, and where
    return first if isinstance(first, dict) else {}


def _tokenizer(given: TokenizerConfig, tree: Tree, known: Iterable[str]) -> TokenizerConfig:
    """Return the plugin's name and options for a plugin, a path or an installed package."""
    name = given.name
    if name in known:
        return given
    place = resolve_file(name, tree, ("tokenizer", "name"))
    if os.path.exists(place):  # noqa: PTH110  as above
        found = {"path": place}
    elif os.sep not in name and _is_installed(name):
        found = {"package": name}
    else:
        return given
    update = {"name": _TOKENIZER_JSON, "options": {**found, **given.options}}
    return given.model_copy(update=update)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package.replace("-", "_")) is not None
    except (ImportError, ValueError):
        return False


def resolve_file(file: str, tree: Tree, key: Path) -> str:
    """Return the absolute path of a file; one named in YAML, at `key`, starts at that file."""
    base = os.getcwd()  # noqa: PTH109  as above
    if tree.is_from_file(key) and tree.document is not None:
        base = os.path.dirname(os.path.abspath(tree.document.file))  # noqa: PTH100, PTH120  as above
    return os.path.normpath(os.path.join(base, os.path.expanduser(file)))  # noqa: PTH111, PTH118  as above
