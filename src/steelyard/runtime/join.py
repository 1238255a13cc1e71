"""A join: all that a worker on another machine needs to take its place in a run, and its secrets.

It holds the keys of one run's bus, so whoever has it is a worker of that run. It travels in an
environment variable, a file that only its owner reads, or standard input; never in an argument,
which every user of a machine can see, and never in a log: its `repr` has no keys.
"""

import base64
import binascii
import os
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from steelyard.kernel.errors import UsageError
from steelyard.kernel.ids import make_service_id

JOIN_VARIABLE = "STEELYARD_JOIN"
INDEX_VARIABLE = "STEELYARD_WORKER_INDEX"
ANY_INDEX = -1


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """The way into a run for one of its workers, or for any of them.

    Attributes:
        run_id: of the run.
        addresses: `tcp://HOST:PORT` of the controller's bus; the first that answers is used.
        controller_id: the service there that takes the worker in.
        service_ids: of all workers of the run, by number.
        index: which of them this is; `ANY_INDEX` leaves it to whoever starts the worker.
        server_public, client_public, client_secret: keys of the run's bus (CURVE, Z85 text).
        log_level: how much the worker logs.
        version: of the Steelyard that made it; the worker's must be the same.
        server_secret: the controller's own key; only in a join made before its run (`prepare`),
            from which that run takes names and keys, and in none that a worker gets.
    """

    run_id: str
    addresses: tuple[str, ...]
    controller_id: str
    service_ids: tuple[str, ...]
    index: int = ANY_INDEX
    server_public: str
    client_public: str
    client_secret: str
    log_level: str = "INFO"
    version: str = ""
    server_secret: str = ""

    def __repr__(self) -> str:
        """Show which join it is, and nothing that opens anything."""
        return f"Join(run_id={self.run_id!r}, index={self.index}, addresses={self.addresses!r})"

    @property
    def service_id(self) -> str:
        """The id of this worker.

        Raises:
            UsageError: `require_index`.
        """
        self.require_index()
        return self.service_ids[self.index]

    def require_index(self) -> None:
        """Refuse a join that is not for one of the run's workers.

        Raises:
            UsageError: its index is not that of a worker of the run.
        """
        if not 0 <= self.index < len(self.service_ids):
            raise UsageError(
                "Which worker of the run this is was not said, or the run has no such worker",
                got="nothing" if self.index == ANY_INDEX else self.index,
                expected=f"a number from 0 to {len(self.service_ids) - 1}",
                next_step=f"Give --index, or set {INDEX_VARIABLE}.",
            )

    def for_worker(self, index: int) -> "Join":
        """Return the join of one worker."""
        return msgspec.structs.replace(self, index=index)

    def for_workers(self) -> "Join":
        """Return the join as workers get it: without the controller's own key."""
        return msgspec.structs.replace(self, server_secret="")

    def encode(self) -> str:
        """Return it as text for `STEELYARD_JOIN`, a join file or standard input: base64 of JSON."""
        return base64.b64encode(msgspec.json.encode(self)).decode()

    @classmethod
    def decode(cls, text: str) -> "Join":
        """Read what `encode` wrote.

        Raises:
            UsageError: it is no join; the text is not repeated, as it may hold keys.
        """
        try:
            return msgspec.json.decode(base64.b64decode(text.strip(), validate=True), type=cls)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise UsageError(
                "This is not a join",
                got=f"{len(text.strip())} characters that can't be read as one",
                expected=f"what a run gave as {JOIN_VARIABLE} or wrote with --join-file",
                next_step="Copy it again from the run; it is good for that run only.",
            ) from None


def prepare(run_id: str, addresses: Sequence[str], workers: int, version: str) -> Join:
    """Return a join before its run begins, for systems that start both at once.

    The run is given it, whole, as `STEELYARD_JOIN`, and must have that number of workers; they
    get `for_workers()` of it. The run listens where its own flags say.

    Args:
        run_id: only a name here: the run keeps its own.
        addresses: `tcp://HOST:PORT` by which the workers will reach the run.
        workers: their number.
        version: of the Steelyard that both run.
    """
    from steelyard.runtime.bus_wire import CurveKeys  # loads ZeroMQ

    keys = CurveKeys.generate()
    return Join(
        run_id=run_id,
        addresses=tuple(addresses),
        controller_id=make_service_id("system_controller", os.urandom(4)),
        service_ids=tuple(make_service_id("worker", os.urandom(4)) for _ in range(workers)),
        server_public=keys.server_public.decode(),
        server_secret=keys.server_secret.decode(),
        client_public=keys.client_public.decode(),
        client_secret=keys.client_secret.decode(),
        version=version,
    )


class Placement(Protocol):
    """Starts the workers of a run somewhere, and says when one is gone.

    A worker is started by running `steelyard worker` with `STEELYARD_JOIN` set to
    `join.encode()`; it connects by itself, so a placement carries nothing else.
    """

    async def place(self, joins: Sequence[Join], lost: Callable[[int, str], None]) -> None:
        """Start one `steelyard worker` for each join; called once, when the bus is up.

        Returns when they are asked for: the run waits for them to register by itself, up to its
        join timeout.

        Args:
            joins: one for each worker, with its `index`.
            lost: to be called from the running loop when a worker is known to be gone, with its
                index and the reason in words. Any number of calls is harmless, also after the end.

        Raises:
            SteelyardError: they can't be started; the run ends with it.
        """
        ...

    async def stop(self) -> None:
        """End what is left of the workers; called once, at the end, also after `place` failed.

        The workers have been asked to stop by then and most have ended; it must take no longer
        than some seconds and raise nothing.
        """
        ...
