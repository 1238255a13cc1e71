"""`steelyard fleet serve`: coordinator, local workers and HTTP service in one process."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from steelyard.app.fleet.client import DEFAULT_DIRECTORY
from steelyard.cli.fleet_gc import Keep
from steelyard.cli.fleet_reach import json_values, pairs, say
from steelyard.kernel.errors import EXIT_OK, UsageError
from steelyard.runtime.hidden import hide_from_others
from steelyard.runtime.json_log import LogFormat, service_logging

if TYPE_CHECKING:
    from steelyard.web.server import Served, ServeSettings

_PORT = 7600
_NUMBER_MAX = 1e9
Several = tuple[str, ...]
_log = logging.getLogger("steelyard.fleet.serve")


def _flag(name: str, text: str, *, default: bool = False) -> Any:
    return Parameter(name=name, negative="", show_default=default, help=text)


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where it listens."""

    host: Annotated[
        str, _flag("--host", "Address; others than loopback take TLS.", default=True)
    ] = "127.0.0.1"
    port: Annotated[int, _flag("--port", "0 takes a free one.", default=True)] = _PORT
    certfile: Annotated[str, _flag("--certfile", "Certificate chain for TLS, PEM.")] = ""
    keyfile: Annotated[str, _flag("--keyfile", "Its private key, PEM.")] = ""
    insecure_http: Annotated[
        bool, _flag("--insecure-http", "Listen beyond this machine without TLS: whoever is on the "
                    "way reads the keys.")
    ] = False  # fmt: skip
    rate: Annotated[float, _flag("--rate", "Requests a second of one key.", default=True)] = 100.0
    body_max_mb: Annotated[
        float, _flag("--body-max-mb", "Longest body of a request.", default=True)
    ] = 8.0
    allow_origin: Annotated[
        Several, _flag("--allow-origin", "Origin of a page that may follow events, such as "
                       "https://board.example. May be repeated.")
    ] = ()  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True)
class Told:
    """What it tells of itself."""

    log_format: Annotated[
        LogFormat, _flag("--log-format", "Of the log on standard error; json is an object a line.",
                         default=True)
    ] = "text"  # fmt: skip
    log_level: Annotated[
        str, _flag("--log-level", "debug, info, warning or error; warning without it, info with "
                   "json.")
    ] = ""  # fmt: skip
    otel_url: Annotated[
        str, _flag("--otel-url", "OpenTelemetry collector that gets a trace of each task, by OTLP "
                   "over HTTP: HOST:PORT, or its full URL for traces.")
    ] = ""  # fmt: skip


@Parameter(name="*")
@dataclass(frozen=True)
class Local:
    """The workers of this machine."""

    no_local: Annotated[bool, _flag("--no-local", "This machine works for nobody.")] = False
    workers: Annotated[int, _flag("--workers", "Workers that share it; 1 without it.")] = 1
    slots: Annotated[int, _flag("--slots", "Attempts at once of each; one a core without it.")] = 0
    label: Annotated[Several, _flag("--label", "KEY=VALUE of its workers. May be repeated.")] = ()
    pass_env: Annotated[
        Several, _flag("--pass-env", "Name of a variable that attempts see. May be repeated.")
    ] = ()

    def options(self) -> dict[str, Any]:
        """Return the options of the local engine.

        Raises:
            UsageError: there would be no worker, or a label is none.
        """
        if self.workers < 1 or self.slots < 0:
            raise UsageError(
                "--workers takes at least 1, --slots at least 0",
                got=f"--workers {self.workers} --slots {self.slots}",
                next_step="With --no-local this machine works for nobody.",
            )
        given = {
            "workers": self.workers, "slots": self.slots, "labels": pairs(self.label, "--label"),
            "environment": list(self.pass_env),
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


def serve(  # noqa: PLR0913  each is a flag or a group of them
    *,
    directory: Annotated[str, Parameter(name="--dir")] = DEFAULT_DIRECTORY,
    ledger: Annotated[str, Parameter(show_default=False)] = "",
    scheduler: Annotated[str, Parameter(show_default=False)] = "",
    track: Annotated[str, Parameter(show_default=False)] = "",
    engine: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    engine_option: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    plugin_dir: Annotated[Several, Parameter(negative="", show_default=False)] = (),
    stand_by: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    new_admin_key: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    drain_s: float = 10.0,
    place: Place | None = None,
    local: Local | None = None,
    told: Told | None = None,
    keep: Keep | None = None,
) -> int:
    """Serve a fleet until Ctrl-C; this machine works for it too.

    Tasks are remembered in a ledger: stop it, or kill it, and the next `serve` goes on. The first
    start prints an admin's key, once, and keeps it in DIR/client.json, which only you can read.

    Ctrl-C lets attempts end for a while, and ends them then; a second one ends them at once.

    Args:
        directory: Outputs, journal, audit log and client.json.
        ledger: File of the ledger, or postgresql://user@host/database; DIR.ledger.sqlite.
        scheduler: Who chooses what runs next and where; see `steelyard fleet schedulers`.
        track: Make each task a run in this store of `steelyard track`, such as .steelyard.
        engine: Another engine beside this machine's workers, such as ray. May be repeated.
        engine_option: An option of one: ENGINE.KEY=VALUE, the value in JSON or a text. May be
            repeated.
        plugin_dir: Look for plugins here too. May be repeated.
        stand_by: Where another coordinator leads on this ledger, wait for its end.
        new_admin_key: Make another admin's key, for who lost theirs.
        drain_s: How long attempts may go on after Ctrl-C.
        place: Where it listens.
        local: The workers of this machine.
        told: What it tells of itself.
        keep: How long what is over is kept.
    """
    from steelyard.web.server import check_address
    from steelyard.web.server import serve as serve_fleet

    told = told or Told()
    settings = _settings(
        place or Place(), engines_of(local or Local(), engine, engine_option),
        directory=directory, ledger=ledger, track=track,
        scheduler=scheduler, plugin_dirs=plugin_dir, stand_by=stand_by,
        new_admin_key=new_admin_key, drain_s=drain_s, otel_url=told.otel_url,
        keep=(keep or Keep()).retention(),
    )  # fmt: skip
    check_address(settings)
    hide_from_others()  # attempts run as the same user, and here are keys, passwords and tokens
    tell = say if told.log_format == "text" else _log.info
    with service_logging(told.log_format, told.log_level):
        asyncio.run(serve_fleet(settings, lambda served: _started(served, tell), tell))
        tell("Stopped.")
    return EXIT_OK


def engines_of(
    local: Local, names: Sequence[str], options: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the options of each engine, by its name.

    Raises:
        UsageError: an option is of an engine that is not used.
    """
    engines: dict[str, dict[str, Any]] = {} if local.no_local else {"local": local.options()}
    engines.update({name: engines.get(name, {}) for name in names})
    for place, value in json_values(pairs(options, "--engine-option")).items():
        name, _, option = place.partition(".")
        if not option or name not in engines:
            raise UsageError(
                "--engine-option is of an engine that is used", got=place,
                expected=" or ".join(f"{engine}.KEY=VALUE" for engine in engines),
                next_step="Name it with --engine.",
            )  # fmt: skip
        engines[name][option] = value
    return engines


def _settings(place: Place, engines: dict[str, dict[str, Any]], **given: Any) -> "ServeSettings":
    from steelyard.app.fleet.settings import FleetSettings
    from steelyard.web.guard import Bounds
    from steelyard.web.server import ServeSettings

    if not 0 <= place.port <= 65_535:
        raise UsageError("There is no such port", got=place.port, expected="0 to 65535")
    if not given["drain_s"] >= 0:
        raise UsageError("--drain-s takes seconds", got=given["drain_s"], expected="0 or more")
    for flag, value in (("--rate", place.rate), ("--body-max-mb", place.body_max_mb)):
        if not 0 < value < _NUMBER_MAX:
            raise UsageError(f"{flag} can't be used", got=value, expected="a number above 0")
    directory = given["directory"]
    chosen = {"scheduler": given["scheduler"]} if given["scheduler"] else {}
    fleet = FleetSettings(
        ledger=given["ledger"] or f"{Path(directory)}.ledger.sqlite",
        directory=directory, engines=engines,
        plugin_dirs=tuple(given["plugin_dirs"]), stand_by=given["stand_by"],
        track=given["track"] or None, otel_url=given["otel_url"] or None, keep=given["keep"],
        log_events=True, **chosen,
    )  # fmt: skip
    return ServeSettings(
        fleet=fleet, host=place.host, port=place.port, certfile=place.certfile,
        keyfile=place.keyfile, insecure_http=place.insecure_http,
        new_admin_key=given["new_admin_key"], drain_s=given["drain_s"],
        bounds=Bounds(
            rate_per_s=place.rate, burst=max(int(place.rate * 3), 1),
            body_max_bytes=int(place.body_max_mb * 1e6),
        ),
        origins=place.allow_origin,
    )  # fmt: skip


def _started(served: "Served", tell: Callable[[str], None]) -> None:
    print(f"The fleet is at {served.url}", flush=True)
    if served.token and tell is say:  # a log is no place for it
        say(f"Your key, shown this once: {served.token}")
    if served.has_key:
        tell(f"Commands in this directory find it, and a key, in {served.connection_file}.")
    else:
        tell("Show a key with STEELYARD_FLEET_KEY, or make one: serve --new-admin-key")
    if tell is say:
        say("Try: steelyard fleet submit -- echo hello     Ctrl-C ends it.")
