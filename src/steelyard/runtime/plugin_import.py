"""Imports a plugin's class: measured, bounded, its printing caught."""

import contextlib
import importlib
import importlib.util
import io
import sys
import threading
import time
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

import msgspec

from steelyard.kernel.errors import PluginError, did_you_mean
from steelyard.plugins.spec import PluginSpec
from steelyard.runtime.plugin_border import PluginBorder

IMPORT_TIMEOUT_S = 20.0
SLOW_IMPORT_S = 1.0
PRINTED_CHARS_MAX = 4_000


class Imported(msgspec.Struct, frozen=True):
    """A class, how long its import took, and what it printed meanwhile."""

    cls: type
    seconds: float
    printed: str

    def notes(self) -> list[str]:
        """Return what an author should know, one sentence each."""
        found = []
        if self.seconds > SLOW_IMPORT_S:
            found.append(f"took {self.seconds:.1f} s to import; do the work later")
        if self.printed.strip():
            first = self.printed.strip().partition("\n")[0][:60]
            found.append(f"printed on import: {first!r}; use logging")
        return found


class _Catch(io.TextIOBase):
    """Keeps the first characters written to it and lets the rest go."""

    def __init__(self) -> None:
        self.text = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text[: max(0, PRINTED_CHARS_MAX - len(self.text))]
        return len(text)


def import_class(
    spec: PluginSpec, border: PluginBorder, *, timeout_s: float = IMPORT_TIMEOUT_S
) -> Imported:
    """Return the class that `spec.target` names.

    Our own batteries are imported in place. A stranger's module is imported on a daemon thread, so
    that one which never returns costs `timeout_s` and not the process; the thread stays behind.

    Raises:
        PluginError: the import failed or did not end, or the class is not there.
    """
    if spec.origin == "builtin":
        started = time.perf_counter()
        cls = _resolve(spec, border)
        return Imported(cls, time.perf_counter() - started, "")
    box: list[type | PluginError] = []

    def work() -> None:
        try:
            box.append(_resolve(spec, border))
        except PluginError as error:
            box.append(error)

    catch = _Catch()
    started = time.perf_counter()
    thread = threading.Thread(target=work, name=f"import {spec.target}", daemon=True)
    with contextlib.redirect_stdout(catch):
        thread.start()
        thread.join(timeout_s)
    seconds = time.perf_counter() - started
    if not box:
        raise PluginError(
            f"Plugin {spec.kind} '{spec.name}' did not finish importing within {timeout_s:g} s",
            next_step=f"Look at what {spec.target.partition(':')[0]} does when it is imported.",
        )
    if isinstance(box[0], PluginError):
        raise box[0]
    return Imported(box[0], seconds, catch.text)


def _resolve(spec: PluginSpec, border: PluginBorder) -> type:
    module_name, _, path = spec.target.partition(":")
    label = f"{spec.kind} '{spec.name}'"
    with border.crossing(label, f"import {module_name}"):
        found: object = _import_module(spec, module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            names = [n for n, v in vars(found).items() if isinstance(v, type)]
            raise PluginError(
                f"Plugin {label}: {module_name} has no class '{path}'",
                expected="one of " + ", ".join(sorted(names)) if names else None,
                next_step=did_you_mean(path, names) or None,
            )
        found = getattr(found, part)
    if not isinstance(found, type):
        raise PluginError(f"Plugin {label}: {spec.target} is not a class", got=found)
    return found


def _import_module(spec: PluginSpec, module_name: str) -> ModuleType:
    if spec.location:
        if spec.location not in sys.path:
            sys.path.append(spec.location)
        file = Path(spec.location, f"{module_name}.py")
        if file.is_file():
            return import_file(file)
    return importlib.import_module(module_name)


def import_file(file: Path) -> ModuleType:
    """Return the module in `file`, under a name of its own so that it shadows no installed one."""
    digest = blake2b(str(file.resolve()).encode(), digest_size=4).hexdigest()
    name = f"steelyard_plugin_{digest}_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} is not Python source")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    done = False
    try:
        found.loader.exec_module(module)
        done = True
    finally:
        if not done:
            del sys.modules[name]
    return module
