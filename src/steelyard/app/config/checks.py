"""What no single field can tell: names of plugins, fields that need or exclude each other."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from steelyard.app.config.choices import (
    SYNTHETIC,
    dataset_options,
    endpoint_options,
    resolve_file,
)
from steelyard.app.config.dataset import RankingsConfig
from steelyard.app.config.fields import Path
from steelyard.app.config.load import LoadConfig
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.problems import line_for
from steelyard.app.config.tree import Tree
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import ConfigError, PluginError, UsageError, did_you_mean
from steelyard.plugins.spec import PluginSpec

BURST = "concurrency_burst"

_SECRET = re.compile(r"(?i)^(proxy-)?authorization$|api-?key|token|secret|cookie")
_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

Mistake = tuple[Path, str]


class Catalog(Protocol):
    """What the checks ask of a plugin host."""

    def specs(self, kind: str | None = None) -> list[PluginSpec]:
        """Return what is installed of a kind."""
        ...

    def configuration(self, kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Check a plugin's configuration against its schema."""
        ...


def is_secret_header(name: str) -> bool:
    """Tell whether a header of this name usually carries a secret."""
    return _SECRET.search(name) is not None


def find_mistakes(
    config: BenchmarkConfig, tree: Tree, host: Catalog, environ: Mapping[str, str]
) -> list[Mistake]:
    """Return the path and the line of each mistake in a configuration whose fields are right."""
    found: list[Mistake] = []
    checks = (
        _plugins(config, host),
        _streaming(config, host),
        _payloads(config, host),
        _urls(config),
        _headers(config, environ),
        _input(config, tree),
        _shape(config, tree),
    )
    for check in checks:
        found.extend((path, line_for(tree, path, message)) for path, message in check)
    return found


def _plugins(config: BenchmarkConfig, host: Catalog) -> Iterator[Mistake]:
    dataset = config.input.type or SYNTHETIC
    one: list[tuple[str, str, Path, dict[str, Any], Path]] = [
        ("endpoint", config.endpoint.type, ("endpoint", "type"), endpoint_options(config),
         ("endpoint", "options")),
        ("transport", config.endpoint.transport, ("endpoint", "transport"), {}, ()),
        ("dataset", dataset, ("input", "type"), dataset_options(config), ("input", "options")),
        ("tokenizer", config.tokenizer.name, ("tokenizer", "name"), config.tokenizer.options,
         ("tokenizer", "options")),
        ("ui", config.ui, ("ui",), {}, ()),
    ]  # fmt: skip
    for path, load in loads(config):
        if load.arrival_pattern not in {None, BURST}:
            name = str(load.arrival_pattern)
            one.append(("arrival", name, (*path, "arrival_pattern"), {}, ()))
    one.extend(
        ("exporter", name, ("output", "exporters"), {}, ()) for name in config.output.exporters
    )
    for section, kind in (("phase_hooks", "phase_hook"), ("post_processors", "post_processor")):
        for index, use in enumerate(getattr(config.plugins, section)):
            path = ("plugins", section, index)
            one.append((kind, use.name, (*path, "name"), use.config, (*path, "config")))
    one.extend(("metric", tag, ("goodput", tag), {}, ()) for tag in config.goodput)
    for kind, name, path, options, options_path in one:
        yield from _plugin(host, kind, name, path, options, options_path)


def _plugin(
    host: Catalog, kind: str, name: str, path: Path, options: dict[str, Any], options_path: Path
) -> Iterator[Mistake]:
    known = [spec.name for spec in host.specs(kind)]
    if name not in known:
        hint = did_you_mean(name, known)
        see = f"See: steelyard plugins --kind {kind}"
        yield (
            path,
            " ".join(filter(None, [f"got {name!r}; expected {_one_of(kind, known)}.", hint, see])),
        )
        return
    if not options_path:
        return
    try:
        host.configuration(kind, name, options)
    except ConfigError as error:
        for problem in error.problems:
            field, _, message = problem.partition(": ")
            where = (*options_path, *field.split(".")) if message else options_path
            yield where, message or problem
    except PluginError as error:
        yield path, str(error)


def _streaming(config: BenchmarkConfig, host: Catalog) -> Iterator[Mistake]:
    """Refuse a stream of an endpoint whose manifest says that it has none."""
    for spec in host.specs("endpoint"):
        is_meant = spec.name == config.endpoint.type and config.endpoint.streaming
        if is_meant and not spec.metadata.get("supports_streaming", True):
            yield (
                ("endpoint", "streaming"),
                f"the endpoint {spec.name!r} answers whole, never in a stream",
            )


def _payloads(config: BenchmarkConfig, host: Catalog) -> Iterator[Mistake]:
    """Refuse whole bodies for an endpoint that shapes its own, and the other way round."""
    makes = _fact(host, "dataset", config.input.type or SYNTHETIC, "makes_payloads")
    sends = _fact(host, "endpoint", config.endpoint.type, "sends_payloads")
    if makes and not sends:
        yield ("input", "type"), f"{config.input.type} has whole bodies; expected the endpoint raw"
    if sends and not makes:
        message = f"{config.input.type} has no whole bodies; expected raw_payload or inputs_json"
        yield (
            ("endpoint", "type"),
            f"the endpoint raw sends bodies as they are, and the dataset {message}",
        )


def _fact(host: Catalog, kind: str, name: str, fact: str) -> bool:
    return any(s.metadata.get(fact) for s in host.specs(kind) if s.name == name)


def _one_of(kind: str, known: list[str]) -> str:
    words = kind.replace("_", " ")
    names = ", ".join(known) if known else "none is installed"
    if kind == "tokenizer":
        names += "; or a path of a tokenizer.json, or an installed package that carries one"
    return f"an installed {words}: {names}"


def loads(config: BenchmarkConfig) -> list[tuple[Path, LoadConfig]]:
    """Return each load of the configuration with its path."""
    if config.phases:
        return [(("phases", index), phase) for index, phase in enumerate(config.phases)]
    return [(("load",), config.load), (("warmup",), config.warmup)]


def _urls(config: BenchmarkConfig) -> Iterator[Mistake]:
    path: Path = ("endpoint", "urls")
    for url in config.endpoint.urls:
        if "@" in url:
            yield path, "a URL holds no user or password; use --api-key, or a header `${NAME}`"
            continue
        try:
            parse_target(url)
        except UsageError as error:
            yield path, f"got {url!r}; expected {error.expected}"
    if config.endpoint.urls and not config.models:
        yield ("models",), "no model is named; expected one, such as -m NAME or `models: [NAME]`"


def with_scheme(url: str) -> str:
    """Return `url`, `http://` put before a bare `HOST:PORT`."""
    return url if "://" in url or url.startswith("unix:") else f"http://{url}"


def _headers(config: BenchmarkConfig, environ: Mapping[str, str]) -> Iterator[Mistake]:
    for name, value in config.endpoint.headers.items():
        path: Path = ("endpoint", "headers", name)
        if not _HEADER_NAME.match(name):
            yield path, f"got {name!r}; expected the name of an HTTP header"
        if "\r" in value or "\n" in value:
            yield path, "a header's value is one line"
        for variable in variables_in(value):
            if variable not in environ:
                yield path, f"the environment variable {variable} is not set"
        if is_secret_header(name) and not variables_in(value):
            yield path, "a secret is not written here; write `${NAME}` and export NAME"
    variable = config.endpoint.api_key_env
    if variable and variable not in environ:
        yield ("endpoint", "api_key_env"), f"the environment variable {variable} is not set"


def _input(config: BenchmarkConfig, tree: Tree) -> Iterator[Mistake]:
    given = config.input
    if given.file is not None:
        place = resolve_file(given.file, tree, ("input", "file"))
        if str(given.type).startswith(SYNTHETIC):
            yield ("input", "file"), "synthetic prompts take no file; leave one of the two out"
        elif not os.path.exists(place):  # noqa: PTH110  a directory is as good as a file here
            yield ("input", "file"), f"there is no {place}"
    if given.isl_block_size is not None and given.type != "mooncake_trace":
        yield ("input", "isl_block_size"), "is of a trace's prompts, of the type mooncake_trace"
    for name in RankingsConfig.model_fields:
        if getattr(given.rankings, name) is not None and given.type != "synthetic_rankings":
            yield ("input", "rankings", name), "shapes prompts of the type synthetic_rankings only"
    if given.osl_stddev and given.osl_mean is None:
        yield ("input", "osl_stddev"), "needs a mean; expected --osl or input.osl_mean beside it"


def _shape(config: BenchmarkConfig, tree: Tree) -> Iterator[Mistake]:
    if config.phases:
        for key in ("load", "warmup"):
            if tree.get((key,)):
                yield (key,), f"`{key}` and `phases` exclude each other; list it as a phase"
        seen: set[str] = set()
        for index, phase in enumerate(config.phases):
            if phase.name in seen:
                yield ("phases", index, "name"), f"the name {phase.name!r} is given twice"
            seen.add(phase.name)
    elif config.warmup != LoadConfig() and not _ends(config.warmup):
        yield (
            ("warmup", min(_set_fields(config.warmup))),
            "there is no warm-up without a request count or a duration",
        )
    for where, load in loads(config):
        merged = load if where != ("warmup",) else inherit(load, config.load)
        for field, message in _load(merged, streaming=config.endpoint.streaming):
            if where != ("warmup",) or getattr(load, field) is not None:
                yield (*where, field), message


def _set_fields(load: LoadConfig) -> set[str]:
    return {name for name in LoadConfig.model_fields if getattr(load, name) is not None}


def _ends(load: LoadConfig) -> bool:
    return load.request_count is not None or load.duration is not None


def inherit(load: LoadConfig, parent: LoadConfig) -> LoadConfig:
    """Return `load` with the beat it does not set taken from `parent`; never its end."""
    beat = ("concurrency", "prefill_concurrency", "request_rate", "arrival_pattern",
            "arrival_smoothness")  # fmt: skip
    taken = {name: getattr(parent, name) for name in beat if getattr(load, name) is None}
    return load.model_copy(update=taken)


def _load(load: LoadConfig, *, streaming: bool) -> Iterator[tuple[str, str]]:
    pattern = load.arrival_pattern
    if pattern == BURST and load.request_rate is not None:
        yield "arrival_pattern", f"{BURST} has no request rate; leave one of the two out"
    if pattern == BURST and load.concurrency is None:
        yield "arrival_pattern", f"{BURST} needs a concurrency"
    if pattern not in {None, BURST} and load.request_rate is None:
        yield "arrival_pattern", "an arrival pattern needs a request rate"
    if load.arrival_smoothness is not None and pattern not in {None, "gamma"}:
        yield "arrival_smoothness", f"shapes gamma arrivals only; the pattern is {pattern}"
    if load.arrival_smoothness is not None and load.request_rate is None:
        yield "arrival_smoothness", "needs a request rate"
    if load.grace_period is not None and load.duration is None:
        yield "grace_period", "follows a duration, and there is none"
    if load.prefill_concurrency is not None:
        if not streaming:
            yield "prefill_concurrency", "needs streaming: only a stream shows the first token"
        if load.concurrency is not None and load.prefill_concurrency > load.concurrency:
            yield "prefill_concurrency", f"exceeds the concurrency of {load.concurrency}"
