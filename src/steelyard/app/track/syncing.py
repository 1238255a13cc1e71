"""Replays to a backend what it missed of a run, or follows a run that goes on."""

import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.track.backends import BackendSpec, backend_specs, require
from steelyard.app.track.mirroring import mirror_of
from steelyard.domain.track.courier import Place
from steelyard.domain.track.routing import Rule
from steelyard.kernel.errors import UsageError
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.mirror import Mirror, MirrorFile, is_driven, mirrors_of
from steelyard.runtime.track.reader import has_writer

SYNC_S = 60.0
POLL_S = 0.2
_log = logging.getLogger("steelyard.track")


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mirror of a run.

    Attributes:
        done: all that the journal has is delivered.
        place: how far it is, with its counts over all attempts.
    """

    run_id: str
    label: str
    done: bool
    place: Place


def sync(
    run: str,
    backend: Any = None,
    *,
    directory: str | Path | None = None,
    timeout_s: float = SYNC_S,
    follow: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> list[Synced]:
    """Deliver what a run's mirrors have not had yet, from where each stopped.

    Args:
        run: an id or its beginning, a name, a run's directory, or `last`.
        backend: as for `start_logging`; without it all mirrors that the run ever had, with the
            options that they had then but for secrets.
        directory: the store.
        timeout_s: how long each may take; with `follow`, counted from the end of the run.
        follow: go on until the run has ended.
        environ: the environment.

    Raises:
        UsageError: there is no such run, it has no mirrors, another process is at it all the
            time, or that is none.
        PluginError: a backend can't be used.
    """
    if not (math.isfinite(timeout_s) and timeout_s >= 0):
        raise UsageError("There is no such time to wait", got=timeout_s, expected="seconds, from 0")
    store, place = _place_of(Store.of(directory, environ), run)
    asked = _asked(place, backend)
    found = []
    for spec, rules in asked:
        left_s = timeout_s if follow else _after_others(place, spec.label, timeout_s)
        mirror = mirror_of(store, place, spec, rules)
        done_one = deliver(place, mirror, left_s, follow=follow)
        found.append(
            Synced(run_id=place.path.name, label=spec.label, done=done_one, place=mirror.place)
        )
    return found


def _after_others(place: RunPlace, label: str, timeout_s: float) -> float:
    """Wait for whoever drives the mirror, as a script's own does for a while; return what is left.

    What that one delivers meanwhile is not sent again: the mirror is made afterwards.
    """
    begun = time.monotonic()
    if is_driven(place, label):
        _log.warning("The run's own mirror '%s' is still at it: waiting for its end", label)
    while is_driven(place, label) and time.monotonic() - begun < timeout_s:
        time.sleep(POLL_S)
    return max(timeout_s - (time.monotonic() - begun), 0.0)


def deliver(place: RunPlace, mirror: Mirror, timeout_s: float, *, follow: bool) -> bool:
    """Run a mirror; return whether all is delivered. See `sync`."""
    if not (follow and has_writer(place.journal)):
        mirror.stop(timeout_s)
        return mirror.run(follow=False)

    def end_with_the_run() -> None:
        while has_writer(place.journal) and not mirror.finished.wait(0.5):
            continue
        mirror.stop(timeout_s)

    watcher = threading.Thread(target=end_with_the_run, name="run-watcher", daemon=True)
    watcher.start()
    return mirror.run()


def _place_of(store: Store, run: str) -> tuple[Store, RunPlace]:
    path = Path(run).absolute()
    if (path / "journal").is_dir():  # needs no index, which a script's mirror should not build
        return (Store(path.parent.parent) if path.parent.name == "runs" else store), RunPlace(path)
    # The database is for those who name a run otherwise.
    from steelyard.app.track.queries import resolve
    from steelyard.runtime.track import index

    with index.opened(store) as connection:
        run_id = resolve(connection, run)
        rows = connection.execute(
            "SELECT directory, kind FROM runs WHERE run_id = ?", [run_id]
        ).fetchall()
    directory, kind = rows[0]
    if kind != "track":
        raise UsageError("Only tracked runs have mirrors", got=run)
    return store, RunPlace(Path(directory))


def _asked(place: RunPlace, backend: Any) -> list[tuple[BackendSpec, tuple[Rule, ...]]]:
    """Return the backends that are meant; one that the run had is told what it was told then."""
    had = mirrors_of(place)
    if backend is None:
        specs: Sequence[BackendSpec] = [
            BackendSpec(name=file.backend, label=label, options=file.options)
            for label, file in had.items()
        ]
        if not specs:
            raise UsageError(
                "The run has no mirrors",
                got=place.path.name,
                next_step="Name one: steelyard track sync RUN --backend NAME",
            )
    else:
        specs = backend_specs(backend)
    named = [spec for spec in specs if spec.instance is None]
    if named:
        require(named, standard_host())
    asked = []
    for spec in specs:
        file = had.get(spec.label, MirrorFile(backend=spec.name))
        sampling = spec.sampling or file.sampling
        asked.append((msgspec.structs.replace(spec, sampling=sampling), file.rules))
    return asked
