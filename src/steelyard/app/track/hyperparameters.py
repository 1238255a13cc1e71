"""Hyperparameters that a script has anyway, logged without being written down a second time.

Taken are the results of argparse, structures that are handed over, configuration files that are
named, and variables that are named. Nothing else of a script is looked at, its code never sees an
error of this, and what is too much is left out and counted.
"""

import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from steelyard.app.track.active import active
from steelyard.app.track.attached import Attached
from steelyard.domain.track.bounded_params import take_params
from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.plugin_border import PluginBorder

FILE_MAX_BYTES = 1_000_000
NAMES_MAX = 1_000
"""Distinct hyperparameters that may be captured of one run."""

LEFT_OUT_TAG = "steelyard.hyperparameters.left_out"
KEYS = frozenset({"locals", "configs"})
"""What `automagic` may name beside frameworks, of which argparse is one."""

_OWN = ("steelyard.app.track", "steelyard.track", "contextlib")
_log = logging.getLogger("steelyard.track")
_border = PluginBorder()


class _SoFar(msgspec.Struct):
    """What was captured of a run before."""

    names: set[str] = msgspec.field(default_factory=set)
    left_out: int = 0


_captured: WeakKeyDictionary[Any, _SoFar] = WeakKeyDictionary()


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is captured of a run when it starts.

    Attributes:
        argparse: what was parsed before it.
        locals: names of variables in the code that starts it.
        configs: files.
    """

    argparse: bool = False
    locals: tuple[str, ...] = ()
    configs: tuple[str | Path, ...] = ()


def wanted(automagic: Any) -> Wanted:
    """Return what `automagic` says of hyperparameters; what it says of frameworks is passed over.

    Args:
        automagic: True for argparse; a name or names, `argparse` among them; or a mapping, of which
            `argparse`, `locals` and `configs` are looked at.

    Raises:
        UsageError: `locals` or `configs` is no list of names.
    """
    if automagic is True:
        return Wanted(argparse=True)
    if isinstance(automagic, str):
        automagic = [name.strip() for name in automagic.split(",")]
    if isinstance(automagic, Mapping):
        return Wanted(
            argparse=automagic.get("argparse", False) is not False,
            locals=_listed(automagic.get("locals"), "locals", str),
            configs=_listed(automagic.get("configs"), "configs", str | Path),
        )
    if isinstance(automagic, list | tuple | set | frozenset):
        return Wanted(argparse="argparse" in automagic)
    return Wanted()


def _listed(given: Any, key: str, kind: Any) -> tuple[Any, ...]:
    if given is None or given is False:
        return ()
    items = (given,) if isinstance(given, kind) else given
    if isinstance(items, list | tuple | set | frozenset) and all(
        isinstance(item, kind) for item in items
    ):
        return tuple(items)
    raise UsageError(
        f"'{key}' names what is captured, one by one",
        got=given,
        expected="a list of names" if key == "locals" else "a list of files",
    )


def prepare(automagic: Any) -> Callable[[Attached], None] | None:
    """Return what logs to a run that has just started what `automagic` asks for; None for nothing.

    Raises:
        UsageError: as `wanted`.
    """
    chosen = wanted(automagic)
    return None if chosen == Wanted() else partial(_capture_at_start, chosen)


def _capture_at_start(wanted: Wanted, experiment: Attached) -> None:
    capture = _Capture(experiment)
    frame = _calling_frame()
    if wanted.argparse:
        capture.attempt("what argparse gave", capture.parsed, frame)
    capture.all((), wanted.locals, wanted.configs, frame, "")
    capture.finish()


def capture_hyperparameters(
    *given: Any,
    locals: str | Sequence[str] = (),
    configs: str | Path | Sequence[str | Path] = (),
    prefix: str = "",
    experiment: Attached | None = None,
) -> dict[str, Any]:
    """Log hyperparameters to a run; return what was found, as plain values by dotted name.

    Whatever is wrong with them is said by a warning, and raises nothing. What looks like a secret
    is returned and not kept. At most `NAMES_MAX` names are captured of a run.

    Args:
        given: dicts, dataclasses, pydantic models, namespaces.
        locals: names of variables where this is called, local or global ones; no others are looked
            at.
        configs: YAML, JSON and TOML files; their values get the file's name in front
            (`train.yaml`: `train.lr`).
        prefix: in front of all names.
        experiment: the run; the active one without it.

    Raises:
        UsageError: `locals` or `configs` is no list of names.
    """
    names = _listed(locals, "locals", str)
    files = _listed(configs, "configs", str | Path)
    chosen: Any = experiment if experiment is not None else active()
    if chosen is None:
        _log.warning("Hyperparameters are not captured: no experiment runs")
        return {}
    capture = _Capture(chosen)
    capture.all(given, names, files, _calling_frame(), prefix)
    return capture.finish()


def _calling_frame() -> FrameType | None:
    """Return the innermost frame of the script."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        frame = frame.f_back
    return frame


class _Capture:
    """One capture into one run."""

    def __init__(self, experiment: Attached) -> None:
        self._experiment = experiment
        self._so_far = _captured.setdefault(experiment, _SoFar())
        self._found: dict[str, Any] = {}

    def all(
        self,
        given: Iterable[Any],
        names: Iterable[str],
        files: Iterable[str | Path],
        frame: FrameType | None,
        prefix: str,
    ) -> None:
        """Take all that was asked for."""
        start = f"{prefix}." if prefix else ""
        for structure in given:
            self.attempt(type(structure).__name__, self.take, structure, prefix)
        for name in names:
            self.attempt(f"'{name}'", self._variable, name, frame, start)
        for file in files:
            self.attempt(str(file), self._file, Path(file), start)

    def attempt(self, what: str, action: Callable[..., None], *args: Any) -> None:
        """Take something that is the script's own: whatever it raises ends here."""
        try:
            with _border.crossing(what, "show its hyperparameters"):
                action(*args)
        except SteelyardError as error:
            _log.warning("Hyperparameters of %s are not captured: %s", what, error)

    def take(self, structure: Any, prefix: str) -> None:
        """Take a structure, or a single value, which `prefix` names then."""
        taken = take_params(structure, prefix)
        so_far = self._so_far
        so_far.left_out += taken.left_out
        for name, value in taken.values.items():
            if name in so_far.names or len(so_far.names) < NAMES_MAX:
                so_far.names.add(name)
                self._found[name] = value
            else:
                so_far.left_out += 1

    def parsed(self, frame: FrameType | None) -> None:
        """Take what argparse gave before: the namespaces that the innermost frame of some holds."""
        argparse = sys.modules.get("argparse")
        if argparse is None:
            return
        while frame is not None:
            found = {
                name: value
                for name, value in list(frame.f_locals.items())
                if isinstance(value, argparse.Namespace) and not name.startswith("_")
            }
            if found:
                distinct = {id(value) for value in found.values()}
                for name, value in found.items():
                    self.take(value, name if len(distinct) > 1 else "")
                return
            frame = frame.f_back

    def _variable(self, name: str, frame: FrameType | None, start: str) -> None:
        for scope in () if frame is None else (frame.f_locals, frame.f_globals):
            if name in scope:
                self.take(scope[name], start + name)
                return
        raise UsageError("There is no variable of this name where the run is started", got=name)

    def _file(self, path: Path, start: str) -> None:
        self.take(read_config(path), start + path.stem)

    def finish(self) -> dict[str, Any]:
        """Log what was found, and how much was left out."""
        if self._found:
            self.attempt("the script", self._experiment.log_params, self._found)
        if self._so_far.left_out:
            told = {LEFT_OUT_TAG: self._so_far.left_out}
            self.attempt("the script", self._experiment.set_tags, told)
        return self._found


def read_config(path: Path) -> Any:
    """Return what a configuration file holds.

    Raises:
        UsageError: it is no file of at most `FILE_MAX_BYTES`, or none that can be read.
    """
    readers: dict[str, Callable[[bytes], Any]] = {
        ".yaml": _yaml, ".yml": _yaml, ".json": msgspec.json.decode, ".toml": _toml,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise UsageError(
            "This is no configuration file", got=str(path), expected="a .yaml, .json or .toml file"
        )
    if path.stat().st_size > FILE_MAX_BYTES:
        raise UsageError(
            f"{path} is too large for a configuration",
            expected=f"at most {FILE_MAX_BYTES:,} bytes",
            next_step="Log it as an artifact.",
        )
    document = reader(path.read_bytes())
    if not isinstance(document, Mapping):
        raise UsageError(f"{path} has no names", got=type(document).__name__, expected="a mapping")
    return document


def _yaml(data: bytes) -> Any:
    import yaml

    return yaml.safe_load(data)


def _toml(data: bytes) -> Any:
    import tomllib

    return tomllib.loads(data.decode())
