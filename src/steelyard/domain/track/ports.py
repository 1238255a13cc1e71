"""What plugins of the tracker must be able to do."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
