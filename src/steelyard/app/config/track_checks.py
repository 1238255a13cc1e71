"""What the section `track` must be before a run begins: known backends, no secrets, right rules."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from steelyard.app.bench_tracking.options import secret_options
from steelyard.app.config.fields import Path
from steelyard.app.config.load_checks import Mistake
from steelyard.app.config.track import TrackConfig
from steelyard.app.track.backends import LOCAL, rules_of
from steelyard.domain.track.names import check_run_id
from steelyard.domain.track.references import filled
from steelyard.kernel.errors import UsageError

Plugin = Callable[[str, Path, dict[str, Any], Path], Iterator[Mistake]]
"""Yields what is wrong with a backend of this name at this path, and with its options at theirs."""


def track_mistakes(
    track: TrackConfig, plugin: Plugin, environ: Mapping[str, str]
) -> Iterator[Mistake]:
    """Yield the mistakes of the section."""
    try:
        rules_of(track.routing)
    except UsageError as error:
        yield ("track", "routing"), str(error)
    for label in (name for name in track.options if name not in track.backends):
        if track.backends:
            yield ("track", "options", label), "is none of the run's backends"
    for label in dict.fromkeys(track.backends):
        if track.backends.count(label) > 1:
            yield ("track", "backends"), f"names {label} twice; label one of them in track.options"
        yield from _backend(label, track.options.get(label, {}), plugin, environ)


def _backend(
    label: str, options: dict[str, Any], plugin: Plugin, environ: Mapping[str, str]
) -> Iterator[Mistake]:
    if label == LOCAL and not options:
        return
    path: Path = ("track", "options", label)
    secrets = secret_options(options)
    for name in secrets:
        yield (
            (*path, *name.split(".")),
            "a secret is not written here; write `${NAME}` and export NAME",
        )
    try:
        check_run_id(label)
        whole = filled(options, environ)
    except UsageError as error:
        yield (path if options else ("track", "backends")), str(error)
        return
    name = str(whole.pop("plugin", label))
    yield from plugin(name, ("track", "backends"), whole, path)
