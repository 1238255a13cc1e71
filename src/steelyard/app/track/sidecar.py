"""`python -m steelyard.app.track.sidecar RUN_DIRECTORY`: the mirrors of a run, beside its script.

It is as `steelyard track sync RUN --follow`, without what a command line costs to import: the
script pays for that where cores are few.
"""

import contextlib
import os
import sys
from collections.abc import MutableMapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from steelyard.app.composition import standard_host
from steelyard.app.track.backends import BackendSpec
from steelyard.app.track.mirroring import (
    OPTIONS_VARIABLE,
    SpecSettings,
    mirror_of,
    settings_from,
)
from steelyard.app.track.syncing import SYNC_S, deliver
from steelyard.runtime.process import set_title
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.mirror import mirror_path
from steelyard.runtime.track.sidecar import in_children


def _prepare(plugins: Sequence[str]) -> None:
    """Find the plugins, and import what checks their options: once, for all children."""
    specs = standard_host().specs("backend")
    if any(spec.name in plugins and spec.config_schema is not None for spec in specs):
        import_module("steelyard.plugins.schema")


def main(words: Sequence[str], environ: MutableMapping[str, str] = os.environ) -> None:
    """Follow the run with all mirrors that the script told of, until it has ended.

    Raises:
        SteelyardError: it told of none that can be read, or a mirror can't be begun.
    """
    settings = settings_from(environ.pop(OPTIONS_VARIABLE, ""))  # children need no secrets
    place = RunPlace(Path(words[0]))
    set_title(f"mirrors of {place.path.name}")
    store = Store.of(None, environ)

    def work(told: SpecSettings) -> bool:
        spec = BackendSpec(
            name=told.plugin, label=told.label, options=told.options, sampling=told.sampling
        )
        mirror = mirror_of(store, place, spec, settings.rules)
        return deliver(place, mirror, SYNC_S, follow=True)

    def ended(label: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the script is gone
            os.write(settings.report_fd, f"{label}\n".encode())

    _prepare([told.plugin for told in settings.specs])
    in_children(
        {told.label: partial(work, told) for told in settings.specs},
        lambda label: mirror_path(place, label).with_suffix(".log"),
        ended,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
