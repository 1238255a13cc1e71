"""What no single field can tell: names of plugins, fields that need or exclude each other."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from steelyard.app.config.choices import (
    SYNTHETIC,
    dataset_options,
    endpoint_options,
    resolve_file,
)
from steelyard.app.config.dataset import RankingsConfig, TurnsConfig
from steelyard.app.config.fields import Path
from steelyard.app.config.load_checks import (
    BURST,
    Mistake,
    loads,
    schedule_mistakes,
    shape_mistakes,
)
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.problems import line_for
from steelyard.app.config.tree import Tree
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.slices import SLICES_MAX
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import ConfigError, PluginError, UsageError, did_you_mean
from steelyard.kernel.secret_names import is_secret_name
from steelyard.plugins.spec import PluginSpec

_HEADER_NAME = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")


class Catalog(Protocol):
    """What the checks ask of a plugin host."""

    def specs(self, kind: str | None = None) -> list[PluginSpec]:
        """Return what is installed of a kind."""
        ...

    def configuration(self, kind: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Check a plugin's configuration against its schema."""
        ...


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
        shape_mistakes(config, tree),
        _slices(config),
        _track(config, host, environ),
        schedule_mistakes(config, has_timestamps=_has_timestamps(config, host)),
    )
    for check in checks:
        found.extend((path, line_for(tree, path, message)) for path, message in check)
    return found


def _slices(config: BenchmarkConfig) -> Iterator[Mistake]:
    """Refuse slices beyond number while no load was spent on them, as far as lengths are known."""
    slice_s = config.output.slice_duration
    known = [
        load.duration
        for where, load in loads(config)
        if where != ("warmup",) and load.duration and not (load.request_count or load.sessions)
    ]
    count = sum(known) / slice_s if slice_s else 0
    if count > SLICES_MAX:
        made = f"makes {count:.0f} slices of {sum(known):g} s, and a report has at most"
        yield ("output", "slice_duration"), f"{made} {SLICES_MAX}; choose longer ones"


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
        if load.ramp_strategy is not None:
            one.append(("ramp", load.ramp_strategy, (*path, "ramp_strategy"), {}, ()))
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


def _track(config: BenchmarkConfig, host: Catalog, environ: Mapping[str, str]) -> Iterator[Mistake]:
    if config.track.backends or config.track.options or config.track.routing:
        # A run that is not tracked loads nothing of the tracker.
        from steelyard.app.config.track_checks import track_mistakes

        yield from track_mistakes(config.track, partial(_plugin, host, "backend"), environ)


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


def _has_timestamps(config: BenchmarkConfig, host: Catalog) -> bool:
    """Tell whether the data set's conversations can have times; a stranger's may."""
    name = config.input.type or SYNTHETIC
    return not _fact(host, "dataset", name, "has_no_timestamps")


def _fact(host: Catalog, kind: str, name: str, fact: str) -> bool:
    return any(s.metadata.get(fact) for s in host.specs(kind) if s.name == name)


def _one_of(kind: str, known: list[str]) -> str:
    words = kind.replace("_", " ")
    names = ", ".join(known) if known else "none is installed"
    if kind == "tokenizer":
        names += "; or a path of a tokenizer.json, or an installed package that carries one"
    if kind == "arrival":
        names += f"; or {BURST}, with a concurrency"
    return f"an installed {words}: {names}"


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
        if is_secret_name(name) and not variables_in(value):
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
    if str(given.type) != SYNTHETIC:
        for name in ("mean", "stddev", "delay_mean", "delay_stddev"):
            if getattr(given.turns, name) != TurnsConfig.model_fields[name].default:
                message = f"shapes synthetic conversations; those of {given.type} are as they are"
                yield ("input", "turns", name), message
    if given.turns.delay_stddev and not given.turns.delay_mean:
        yield ("input", "turns", "delay_stddev"), "needs a mean delay; set the delay's mean too"
    if given.osl_stddev and given.osl_mean is None:
        yield ("input", "osl_stddev"), "needs a mean; expected --osl or input.osl_mean beside it"
