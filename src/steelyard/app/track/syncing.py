"""Replays to a backend what it missed of a run, or follows a run that goes on."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.track.backends import BackendSpec, backend_specs, require
from steelyard.app.track.mirroring import OPTIONS_VARIABLE, mirror_of, settings_from
from steelyard.domain.track.courier import Place
from steelyard.domain.track.routing import Rule
from steelyard.kernel.errors import UsageError
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.mirror import Mirror, mirrors_of
from steelyard.runtime.track.reader import has_writer

SYNC_S = 60.0


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
        UsageError: there is no such run, it has no mirrors, or another process is at it.
        PluginError: a backend can't be used.
    """
    store, place = _place_of(Store.of(directory, environ), run)
    found = []
    for spec, rules in _asked(place, backend, environ):
        mirror = mirror_of(store, place, spec, rules)
        if follow and has_writer(place.journal):
            done = _follow(place, mirror, timeout_s)
        else:
            mirror.stop(timeout_s)
            done = mirror.run(follow=False)
        found.append(
            Synced(run_id=place.path.name, label=spec.label, done=done, place=mirror.place)
        )
    return found


def _follow(place: RunPlace, mirror: Mirror, timeout_s: float) -> bool:
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


def _asked(
    place: RunPlace, backend: Any, environ: Mapping[str, str]
) -> Sequence[tuple[BackendSpec, tuple[Rule, ...]]]:
    if isinstance(backend, str) and environ.get(OPTIONS_VARIABLE):
        return [settings_from(environ, backend)]
    if backend is None:
        specs: Sequence[BackendSpec] = [
            BackendSpec(name=file.backend, label=label, options=file.options)
            for label, file in mirrors_of(place).items()
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
    return [(spec, ()) for spec in specs]
