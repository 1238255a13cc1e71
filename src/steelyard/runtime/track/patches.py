"""Watches functions of a library, and leaves no trace: what frameworks install their hooks with.

A watched function behaves as before: what a hook raises never reaches the caller, and what it does
is heard by no other hook. Undone, the very object that was there is there again. Where somebody
else patched over ours in the meantime, ours stays below theirs and hands every call through.
"""

import functools
import inspect
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from steelyard.domain.track.ports import Sink
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.track.muting import EVERYTHING, MUTED, muted

_log = logging.getLogger("steelyard.track")
_lock = threading.RLock()
_OURS = "__steelyard_place__"

Hook = Callable[..., Any]


class _Place:
    """Where something was put in the place of something else."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name
        self.is_live = True
        self.replacement: Any = None
        self.raw: Any = inspect.getattr_static(owner, name)
        self.is_own = name in vars(owner)
        left = getattr(self.function, _OURS, None)
        # The mark alone says little: `functools.wraps` copies it to whatever wraps ours.
        if isinstance(left, _Place) and left.replacement is self.raw and not left.is_live:
            # Ours from before: somebody else patched over it then, and has taken that back.
            self.raw, self.is_own = left.raw, left.is_own

    def __reduce__(self) -> tuple[Callable[..., "_Place"], tuple[()]]:
        """Be a place where nobody looks: a script's own class may be sent to another process."""
        return _abandoned_place, ()

    @property
    def function(self) -> Any:
        """What is called in the end, without a descriptor around it."""
        raw = self.raw
        return raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw

    def put(self, function: Any) -> None:
        """Put `function` there, as a method of the kind it replaces."""
        setattr(function, _OURS, self)
        raw = self.raw
        around = type(raw) if isinstance(raw, classmethod | staticmethod) else None
        self.replacement = around(function) if around else function
        setattr(self.owner, self.name, self.replacement)

    def restore(self) -> bool:
        """Put back what was there; return False when what is there now is somebody else's."""
        self.is_live = False
        if vars(self.owner).get(self.name) is not self.replacement:
            return False
        if self.is_own:
            setattr(self.owner, self.name, self.raw)
        else:
            delattr(self.owner, self.name)
        return True

    def __str__(self) -> str:
        owner = getattr(self.owner, "__qualname__", None) or getattr(self.owner, "__name__", "?")
        return f"{owner}.{self.name}"


def _abandoned_place() -> _Place:
    place = _Place.__new__(_Place)
    place.is_live = False
    place.replacement = place.raw = None
    return place


def _abandoned_set() -> "PatchSet":
    patches = PatchSet("abandoned", lambda: None, _log.error)
    patches.undo()
    return patches


class PatchSet:
    """All hooks of one framework.

    Args:
        framework: its name.
        choose: returns the sink of the run that the calling thread logs to, None when there is
            none; called for each call of what is watched.
        failed: told once of the first error of a hook; after it no hook of the framework is called.
    """

    def __init__(
        self,
        framework: str,
        choose: Callable[[], Sink | None],
        failed: Callable[[SteelyardError], None],
    ) -> None:
        self.framework = framework
        self._choose = choose
        self._failed = failed
        self._crossing = PluginBorder().crossing(f"framework '{framework}'", "look at a call")
        self._is_live = True
        self._places: list[_Place] = []
        self._undo: list[Callable[[], object]] = []

    def __reduce__(self) -> tuple[Callable[..., "PatchSet"], tuple[()]]:
        """Be a set without hooks in another process: there is no run to tell."""
        return _abandoned_set, ()

    def watch(
        self,
        owner: Any,
        name: str,
        *,
        before: Hook | None = None,
        after: Hook | None = None,
        arguments: Hook | None = None,
        mutes: frozenset[str] = frozenset(),
        inner: bool = False,
    ) -> None:
        """See `steelyard.domain.track.ports:Patches`."""
        if not self._is_live:
            return
        choose = self._chosen_though_muted if inner else self.chosen
        guarded = self.guarded

        def around(place: _Place, function: Hook) -> Hook:
            @functools.wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                sink = choose() if place.is_live else None
                if sink is None:
                    return function(*args, **kwargs)
                if arguments is not None:
                    args, kwargs = guarded(arguments, *args, **kwargs) or (args, kwargs)
                if before is not None:
                    guarded(before, sink, *args, **kwargs)
                if mutes:
                    outer = MUTED.names
                    MUTED.names = outer | mutes
                    try:
                        result = function(*args, **kwargs)
                    finally:
                        MUTED.names = outer
                else:
                    result = function(*args, **kwargs)
                if after is not None:
                    guarded(after, sink, result, *args, **kwargs)
                return result

            return watched

        with _lock:
            place = _Place(owner, name)
            place.put(around(place, place.function))
            self._places.append(place)

    def hook(self, see: Hook) -> Hook:
        """Return what a library's own hooks may be given; it calls `see` with the sink first."""

        def heard(*args: Any, **kwargs: Any) -> None:
            sink = self.chosen()
            if sink is not None:
                self.guarded(see, sink, *args, **kwargs)

        return heard

    def on_undo(self, action: Callable[[], object]) -> None:
        """Have `action` called when all is undone; the last one first."""
        if self._is_live:
            self._undo.append(action)
        else:
            action()

    def chosen(self) -> Sink | None:
        """Return the sink for what this thread does now, None when nobody is to hear of it."""
        names = MUTED.names
        if not self._is_live or (names and (names == EVERYTHING or self._is_muted(names))):
            return None
        return self._choose()

    def _chosen_though_muted(self) -> Sink | None:
        return self._choose() if self._is_live else None

    def _is_muted(self, names: frozenset[str]) -> bool:
        return self.framework in names or not EVERYTHING.isdisjoint(names)

    def guarded(self, see: Hook, *args: Any, **kwargs: Any) -> Any:
        """Return what a hook returns; None, and the end of all hooks, when it raises."""
        if not self._is_live:
            return None
        outer = MUTED.names
        MUTED.names = EVERYTHING
        try:
            with self._crossing:
                return see(*args, **kwargs)
        except SteelyardError as error:
            # What is watched stays as it is until all is undone.
            if self._is_live:
                self._is_live = False
                self._failed(error)
        finally:
            MUTED.names = outer
        return None

    def undo(self) -> list[str]:
        """Put back all that was there; return the places where somebody else's patch is now."""
        self._is_live = False
        with _lock:
            left = [str(place) for place in reversed(self._places) if not place.restore()]
            self._places.clear()
        while self._undo:
            try:
                with muted(), self._crossing:
                    self._undo.pop()()
            except SteelyardError as error:
                _log.warning("%s", error)
        if left:
            _log.warning(
                "framework '%s': %s was patched by somebody else after us; our part stays below "
                "theirs and hands every call through", self.framework, ", ".join(left),
            )  # fmt: skip
        return left


def _after_fork() -> None:
    # A thread that is no more may have held it.
    global _lock  # noqa: PLW0603  see above
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
