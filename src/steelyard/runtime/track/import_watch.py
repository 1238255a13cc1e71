"""Tells when a module has been imported, without importing it.

A finder stands first in `sys.meta_path` while somebody waits. It lets the others find the module,
and puts itself between only for the moment in which the module is executed.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Action = Callable[[ModuleType], None]
_lock = threading.Lock()


class _Then(Loader):
    """A module's loader, with something to do afterwards."""

    def __init__(self, loader: Any, then: Action) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the loader."""
        create = getattr(self._loader, "create_module", None)
        return create(spec) if create is not None else None

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as if nobody had been here, then act."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)


class ImportWatch:
    """Who waits for which modules. One is enough for a process."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Action]] = {}
        self._searching = threading.local()

    def when_imported(self, name: str, action: Action) -> Callable[[], None]:
        """Call `action` with the module: now when it is imported, else once it will have been.

        Returns:
            what ends the waiting; it may be called at any time.
        """
        with _lock:
            self._waiting.setdefault(name, []).append(action)
            if self not in sys.meta_path:
                sys.meta_path.insert(0, self)
        if sys.modules.get(name) is not None:
            # Waits for a thread that is in the middle of importing it.
            self._done(name, importlib.import_module(name))
        return lambda: self._cancel(name, action)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as the other finders do; None for one that nobody waits for."""
        searching = self._searching.__dict__.setdefault("names", set())
        if name not in self._waiting or name in searching:
            return None
        searching.add(name)
        try:
            spec = _found(self, name, path, target)
        finally:
            searching.discard(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Then(spec.loader, partial(self._done, name))
        return spec

    def _done(self, name: str, module: ModuleType) -> None:
        # A module may put another object, or none, under its name while it is executed.
        there = sys.modules.get(name) or module
        with _lock:
            actions = self._waiting.pop(name, [])
            self._leave()
        for action in actions:
            action(there)

    def _cancel(self, name: str, action: Action) -> None:
        with _lock:
            actions = self._waiting.get(name, [])
            if action in actions:
                actions.remove(action)
            if not actions:
                self._waiting.pop(name, None)
            self._leave()

    def _leave(self) -> None:
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


def _found(
    watch: ImportWatch, name: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = None if finder is watch else getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, path, target) if find is not None else None
        if spec is not None:
            return spec
    return None


def _after_fork() -> None:
    # A thread that is no more may have held it.
    global _lock  # noqa: PLW0603  see above
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
