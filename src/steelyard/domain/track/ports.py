"""What plugins of the tracker must be able to do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from steelyard.domain.track.events import Logged, RunEnded


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend is told of a run when it is opened.

    Attributes:
        run_id: ours.
        name, project, tags, command, host_id: as the run was started.
        started_ns: Unix time.
        reference: what the backend's `open` returned for this run the first time; empty then.
    """

    run_id: str
    name: str
    project: str
    started_ns: int
    tags: dict[str, str] = {}
    command: str = ""
    host_id: str = ""
    reference: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """What a backend made of a batch.

    Attributes:
        taken: how many from the front of the batch are done with; the rest is sent again.
        refused: of those, what the backend will never take, by index, and why.
    """

    taken: int
    refused: dict[int, str] = {}


@runtime_checkable
class Backend(Protocol):
    """Mirrors one run to a tracker. Made with its configuration as keyword arguments.

    All calls come from one thread, in the order `open`, `log`..., `flush`, `close`. Any may raise:
    `open` and `log` are tried again, later and later, and the run never waits for them.
    """

    def open(self, run: RunFacts) -> str:
        """Begin the run, or go on with the one that `run.reference` names; return its reference.

        The reference is whatever the backend needs to find the run again from another process.
        """
        ...

    def log(self, items: Sequence[Logged]) -> Delivery:
        """Take items in the order in which they were logged.

        A batch that was cut off may be seen again from its first item that was not `taken`.
        """
        ...

    def flush(self) -> None:
        """Return when all that was taken would survive this process."""

    def close(self, end: RunEnded | None) -> None:
        """Let go of everything; called once, also after an error.

        `end` says how the run ended (`finished`, `failed` with its exception, or `killed`); None:
        it goes on, and another `open` will follow.
        """


class Noted(msgspec.Struct, frozen=True):
    """What a collector says of a run once, when it begins.

    Attributes:
        params: values by name, nested as they like; they get the collector's label in front
            (`environment.python`).
        tags: texts by which a person looks for runs; with the label in front too (`git.commit`).
        artifacts: contents by name, below the label (`git/changes.diff`).
    """

    params: dict[str, Any] = {}
    tags: dict[str, str] = {}
    artifacts: dict[str, bytes] = {}


@runtime_checkable
class Collector(Protocol):
    """Tells facts and numbers of a machine while a run goes on.

    Made with its configuration as keyword arguments. A class needs only what it has to say: `facts`
    or `collect`, or both. All calls come from one thread of its own, in the order
    `validate_environment`, `start`, `facts`, `collect`..., `stop`. Any may raise: what keeps
    raising is given up, and told of once. A class attribute `period_s` says how often `collect` is
    worth calling; once a second without it.
    """

    def validate_environment(self) -> None:
        """Raise where this machine lacks what is needed, such as a driver."""

    def start(self) -> None:
        """Open what is read, and take the values from which rates are counted."""

    def facts(self) -> Noted:
        """Return what is said once; called after `start`."""
        ...

    def collect(self) -> Mapping[str, Any]:
        """Return the numbers as of now, by name; they get the label in front (`system/load_1m`).

        Mappings and lists in it are gone into (`disk/read_bytes`, `gpu/0/power_w`), within bounds;
        what is no number is left out.
        """
        ...

    def stop(self) -> None:
        """Let go of everything; called once, if `start` returned."""


class Sink(Protocol):
    """One run, as the hooks of a framework see it. No call raises because of a value.

    Attributes:
        options: the framework's configuration for this run.
        memory: what the framework remembers of this run; empty at first, gone with the run.
    """

    options: Mapping[str, Any]
    memory: dict[Any, Any]

    def log_metrics(self, values: Mapping[str, Any], step: Any = None) -> None:
        """Log those of the values that are numbers, under the framework's name as source.

        Distinct names are bounded for a run; what is left out is counted, and told once.
        """

    def log_params(self, values: Any, prefix: str = "") -> None:
        """Log parameters, nested as they like, below a prefix; secrets are left out."""


class Patches(Protocol):
    """Where a framework says what it wants to see. It can't break what it watches.

    What a hook raises reaches nobody: it is told once, and no hook of that framework is called any
    more. Nothing that a hook does is seen by another. Hooks are called where a run of the caller
    asked for the framework, and nowhere else.
    """

    def watch(
        self,
        owner: Any,
        name: str,
        *,
        before: Callable[..., Any] | None = None,
        after: Callable[..., Any] | None = None,
        arguments: Callable[..., Any] | None = None,
        mutes: frozenset[str] = frozenset(),
        inner: bool = False,
    ) -> None:
        """Watch a function: a method of a class, or a module's attribute.

        Args:
            owner: the class or module.
            name: of the function in it.
            before: called as `before(sink, *args, **kwargs)`.
            after: called as `after(sink, result, *args, **kwargs)` unless the function raised.
            arguments: called with the arguments; returns `(args, kwargs)` to use in their place.
            mutes: names of frameworks that hear nothing of what goes on inside; `*` is all.
            inner: also heard where this framework is muted.
        """

    def hook(self, see: Callable[..., Any]) -> Callable[..., Any]:
        """Return what a library's own hooks may be given: it calls `see(sink, *args, **kwargs)`."""
        ...

    def on_undo(self, action: Callable[[], object]) -> None:
        """Have `action` called when all is undone; for a library's own hooks."""


@runtime_checkable
class Framework(Protocol):
    """Logs what a training framework tells anyway. Made without arguments, once for a process.

    Attributes:
        modules: full names of the modules it waits for; it never imports one itself.
    """

    modules: tuple[str, ...]

    def install(self, module: Any, patches: Patches) -> None:
        """Say what to watch; called for each of `modules` right after it was imported."""
