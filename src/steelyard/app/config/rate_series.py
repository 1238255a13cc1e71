"""The points of a series of rates, from a configuration or from a JSON file."""

import json

import msgspec

from steelyard.app.config.choices import resolve_file
from steelyard.app.config.fields import Path
from steelyard.app.config.load import LoadConfig
from steelyard.app.config.section import COUNT_MAX
from steelyard.app.config.tree import Tree

SERIES = "request_rate_series"
_LARGEST_BYTES = 1 << 22
_SHOWN_CHARS = 60
_FORM = '`{"time_s": SECONDS, "qps": RATE}`'


class _Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    time_s: float
    qps: float


class _Points(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    points: list[_Point]


def points_of(load: LoadConfig, tree: Tree, path: Path) -> tuple[tuple[float, float], ...]:
    """Return seconds and requests per second of each point of the series; empty without one.

    Args:
        load: may name a file, relative to where it is named.
        tree: tells where that is.
        path: of the load in the configuration.

    Raises:
        ValueError: the file can't be read or the points can't be used; says what was got and
            expected.
    """
    given = load.request_rate_series
    if given is None:
        return ()
    if isinstance(given, str):
        points = _read(resolve_file(given, tree, (*path, SERIES)))
    else:
        points = tuple((point.time_s, point.qps) for point in given)
    _check(points)
    return points


def _read(file: str) -> tuple[tuple[float, float], ...]:
    try:
        with open(file, "rb") as source:  # noqa: PTH123  paths are strings here, as in a plan
            data = source.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"can't read {file}: {error.strerror}") from None
    if len(data) > _LARGEST_BYTES:
        raise ValueError(f"{file} is larger than {_LARGEST_BYTES} bytes")
    try:
        whole = msgspec.json.decode(data, type=list[_Point] | _Points)
    except msgspec.DecodeError as error:
        expected = f'expected a JSON list of {_FORM}, or `{{"points": [...]}}`'
        raise ValueError(f"{file}: {_got(data, error)}; {expected}") from None
    points = whole.points if isinstance(whole, _Points) else whole
    return tuple((point.time_s, point.qps) for point in points)


def _got(data: bytes, error: msgspec.DecodeError) -> str:
    """Return what is wrong with a file: its whole shape, or the first place that does not fit."""
    try:
        whole = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return f"it is no JSON ({error})"
    if isinstance(whole, list) or (isinstance(whole, dict) and "points" in whole):
        return str(error)
    if isinstance(whole, dict):
        return f"got a single object with the keys {', '.join(sorted(whole)) or '(none)'}"
    return f"got {json.dumps(whole)[:_SHOWN_CHARS]}"


def _check(points: tuple[tuple[float, float], ...]) -> None:
    if len(points) <= 1:
        raise ValueError(f"got {len(points)} points; expected two or more of {_FORM}")
    before_s = -1.0
    for number, (time_s, rate) in enumerate(points):
        if time_s < 0 or not 0 < rate < COUNT_MAX:
            got = f"time_s {time_s:g}, qps {rate:g}"
            raise ValueError(f"points[{number}] has {got}; expected 0 or later, and more than 0")
        if time_s <= before_s:
            raise ValueError(
                f"points[{number}] has time_s {time_s:g} after {before_s:g}; expected a later one"
            )
        before_s = time_s
