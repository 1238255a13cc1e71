"""Where calibrations are kept: a file per host and instrument, in the user's state directory."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.bench.calibration import (
    CALIBRATION_SCHEMA,
    Calibration,
    calibration_facts,
    changed_facts,
)
from steelyard.kernel.errors import FileError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import reason_of, write_atomic


def state_directory(environ: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/steelyard`, or its default in the home directory.

    Source: XDG Base Directory Specification 0.8; a relative value is to be ignored.
    """
    named = environ.get("XDG_STATE_HOME", "")
    home = Path(environ.get("HOME") or "/")
    base = Path(named) if named.startswith("/") else home / ".local" / "state"
    return base / "steelyard"


def calibration_path(directory: Path, host: Mapping[str, Any]) -> Path:
    """Return the file of a host's calibration; other facts are another file."""
    facts = msgspec.json.encode(calibration_facts(host), order="sorted")
    digest = hashlib.blake2s(facts, digest_size=6).hexdigest()
    return directory / "calibration" / f"{digest}.json"


def save_calibration(calibration: Calibration, directory: Path) -> Path:
    """Keep a calibration, in place of an earlier one of the same facts; return its file.

    Raises:
        FileError: it can't be written.
    """
    path = calibration_path(directory, calibration.facts)
    data = msgspec.json.format(msgspec.json.encode(calibration), indent=2)
    write_atomic(path, data + b"\n")
    return path


def load_calibration(directory: Path, host: Mapping[str, Any]) -> Calibration | None:
    """Return the calibration of a host with these facts, None without one.

    Raises:
        FileError: there is a file, but it can't be read or is not of this schema.
    """
    return _read(calibration_path(directory, host))


def outdated_calibration(directory: Path, host: Mapping[str, Any]) -> str:
    """Return a sentence about the newest calibration of other facts; empty without one.

    What can't be read is passed over: nobody asked for it.
    """
    others = []
    for path in (directory / "calibration").glob("*.json"):
        with suppress(FileError):
            found = _read(path)
            if found is not None:
                others.append(found)
    if not others:
        return ""
    newest = max(others, key=lambda calibration: calibration.made_wall_ns)
    made = datetime.fromtimestamp(newest.made_wall_ns / NS_PER_S, tz=UTC).date().isoformat()
    return (
        f"The calibration of {made} is of another instrument: "
        f"{changed_facts(newest.facts, host)}; run `steelyard calibrate`"
    )


def _read(path: Path) -> Calibration | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileError(f"Can't read {path}: {reason_of(error)}") from error
    again = "Run `steelyard calibrate` to make it anew."
    try:
        calibration = msgspec.json.decode(data, type=Calibration)
    except msgspec.DecodeError as error:
        raise FileError(f"{path} is no calibration", got=str(error), next_step=again) from error
    if calibration.schema_version != CALIBRATION_SCHEMA:
        raise FileError(
            f"{path} has another schema",
            got=calibration.schema_version,
            expected=CALIBRATION_SCHEMA,
            next_step=again,
        )
    return calibration
