"""Drives one mirror: follows a run's journal and hands what is new to a backend.

The journal is the queue. A script writes there and nowhere else, so no backend delays it, and
nothing is dropped because a backend is slow or dead: a mirror reads on when it can, and where it
stopped is kept beside the journal.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from steelyard.domain.track.courier import Courier, Open, Place, Policy, Send, Wait
from steelyard.domain.track.events import Logged, RunEnded
from steelyard.domain.track.ports import Backend, Delivery, RunFacts
from steelyard.domain.track.routing import Router, Rule
from steelyard.domain.track.run import Status
from steelyard.domain.track.thinning import Sampling
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import FileError, PluginError, SteelyardError, UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import next_step_of, reason_of, write_atomic
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.feed import Feed
from steelyard.runtime.track.layout import RunPlace
from steelyard.runtime.track.muting import muted
from steelyard.runtime.track.reader import has_writer

POLL_S = 0.25


class MirrorFile(msgspec.Struct, kw_only=True):
    """What is kept of a mirror beside the journal: enough to go on, and no secrets."""

    backend: str
    options: dict[str, Any] = {}
    rules: tuple[Rule, ...] = ()
    sampling: Sampling | None = None
    place: Place = msgspec.field(default_factory=Place)


def mirror_path(place: RunPlace, label: str) -> Path:
    """Return where the mirror of this label keeps how far it is."""
    return place.path / "mirrors" / f"{label}.json"


def read_mirror(place: RunPlace, label: str) -> MirrorFile | None:
    """Return what a mirror kept; None when it never began.

    Raises:
        PluginError: its file can't be read.
    """
    path = mirror_path(place, label)
    try:
        return msgspec.json.decode(path.read_bytes(), type=MirrorFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise PluginError(
            f"Can't read how far the mirror is: {path}: {error}",
            next_step="Remove the file to have the run mirrored anew.",
        ) from error


def mirrors_of(place: RunPlace) -> dict[str, MirrorFile]:
    """Return the mirrors of a run, by label."""
    labels = sorted(path.stem for path in (place.path / "mirrors").glob("*.json"))
    return {label: found for label in labels if (found := read_mirror(place, label)) is not None}


def is_driven(run: RunPlace, label: str) -> bool:
    """Tell whether some process drives this mirror now."""
    with _lock(run, label) as is_ours:
        return not is_ours


@contextlib.contextmanager
def _lock(run: RunPlace, label: str) -> Iterator[bool]:
    """Hold the right to drive a mirror; False when another has it.

    Raises:
        FileError: the run's directory can't be written.
    """
    path = mirror_path(run, label).with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise FileError(
            f"Can't write {path}: {reason_of(error)}", next_step=next_step_of(error)
        ) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


class Mirror:
    """One backend's view of one run; `run` is called once, in a thread or process of its own.

    Args:
        place: the run.
        blobs: where its artifacts' contents lie.
        label: names the mirror; its file is called so.
        file: what it kept, or what it is to begin with; says what the backend is told.
        make: returns a new backend.
        clock: times the waits.
        policy: see `Policy`.
    """

    def __init__(
        self,
        place: RunPlace,
        blobs: BlobStore,
        label: str,
        file: MirrorFile,
        make: Callable[[], Backend],
        *,
        clock: Clock,
        policy: Policy | None = None,
    ) -> None:  # fmt: skip
        self.label = label
        self.place = file.place
        self.finished = threading.Event()
        self._run_place = place
        self._file = file
        self._make = make
        self._clock = clock
        router = Router(label, file.rules, file.sampling)
        self._courier = Courier(file.place, policy, router)
        self._feed = Feed(place, blobs)
        self._border = PluginBorder()
        self._backend: Backend | None = None
        self._wake = threading.Event()
        self._deadline_ns: int | None = None

    @property
    def pending(self) -> int:
        """Items read from the journal and not delivered; what is behind them is not counted."""
        return self._courier.pending

    def stop(self, within_s: float) -> None:
        """Have `run` return when all is delivered, or after this time; does not wait itself."""
        self._deadline_ns = self._clock.mono_ns() + int(within_s * NS_PER_S)
        self._wake.set()

    def run(self, *, follow: bool = True) -> bool:
        """Deliver until the run has ended and all is delivered; return whether that is so.

        Args:
            follow: False returns when all that is there now is delivered.

        Raises:
            UsageError: another process is at it.
            FileError: the run's directory can't be written.
        """
        # What a backend's SDK calls is no news to a run: frameworks must not hear it.
        with self._alone(), muted():
            return self._run(follow=follow)

    def _run(self, *, follow: bool) -> bool:
        try:
            while not self._out_of_time():
                read = self._feed.fill(self._courier)
                if self._feed.started is None:
                    if not follow:
                        break
                    self._wake.wait(POLL_S)
                    continue
                if self._step(read, follow=follow):
                    return True
            return False
        except SteelyardError as error:
            # The journal can't be read: this is the mirror's end, and nobody else's.
            self.place.last_error = str(error)
            return False
        finally:
            self._leave()
            self.finished.set()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with _lock(self._run_place, self.label) as is_ours:
            if not is_ours:
                self.finished.set()
                raise UsageError(
                    f"The run is being mirrored to '{self.label}' by another process",
                    next_step="Wait for its end.",
                )
            yield

    def _out_of_time(self) -> bool:
        return self._deadline_ns is not None and self._clock.mono_ns() >= self._deadline_ns

    def _step(self, read: int, *, follow: bool) -> bool:
        """Do the next thing; return True when there is nothing left to do, now or later."""
        action = self._courier.decide(self._clock.mono_ns())
        if isinstance(action, Open):
            self._open()
        elif isinstance(action, Send):
            self._send(action.items)
            if follow and not self._courier.pending and self._feed.end is None:
                # What comes meanwhile goes together: a script that logs all the time would have a
                # call, and a file written, for every few points.
                self._pause(POLL_S)
        elif isinstance(action, Wait):
            self._pause((action.until_ns - self._clock.mono_ns()) / NS_PER_S)
        elif not read:
            end = self._end()
            if end is not None:
                return not self._courier.finish() and self._close(end)
            if self._courier.pending:
                return False
            if not follow:
                return self._close(None)
            self._pause(POLL_S)
        return False

    def _pause(self, seconds: float) -> None:
        if self._deadline_ns is not None:
            left = (self._deadline_ns - self._clock.mono_ns()) / NS_PER_S
            seconds = min(seconds, left)
            self._wake.clear()
        self._wake.wait(max(0.0, seconds))

    def _end(self) -> RunEnded | None:
        """Return how the run ended; None while it goes on."""
        if self._feed.end is not None:
            return self._feed.end
        if has_writer(self._run_place.journal):
            return None
        # Its process may have ended it between our last look at the journal and this one.
        if self._feed.fill(self._courier):
            return None
        return RunEnded(status=Status.KILLED, ended_ns=self._feed.last_ns)

    def _facts(self) -> RunFacts:
        started = self._feed.started
        assert started is not None, "run() waits for it"  # noqa: S101  holds by construction
        return RunFacts(
            run_id=self._run_place.path.name,
            name=started.name,
            project=started.project,
            tags=started.tags,
            command=started.command,
            host_id=self._feed.host_id,
            started_ns=self._feed.started_ns,
            reference=self.place.reference,
        )

    def _open(self) -> None:
        try:
            with self._border.crossing(f"backend '{self.label}'", "open the run"):
                self._backend = self._make()
                reference = self._backend.open(self._facts())
        except SteelyardError as error:
            self._failed(error, 0)
            return
        self.place.closed = False
        self._courier.opened(str(reference))
        self._save()

    def _send(self, items: Sequence[Logged]) -> None:
        assert self._backend is not None, "the courier opens before it sends"  # noqa: S101  ditto
        try:
            with self._border.crossing(f"backend '{self.label}'", "log"):
                delivery: Any = self._backend.log(items)
                if not isinstance(delivery, Delivery):
                    message = f"it returned {delivery!r} and not a Delivery"
                    raise PluginError(f"backend '{self.label}' failed to log: {message}")
        except SteelyardError as error:
            self._failed(error, len(items))
            return
        self._courier.took(delivery, len(items), self._clock.mono_ns())
        self._save()

    def _failed(self, error: SteelyardError, sent: int) -> None:
        self._courier.failed(str(error), self._clock.mono_ns(), sent)
        self._save()

    def _close(self, end: RunEnded | None) -> bool:
        """Flush and close; return False when that failed and is to be tried again."""
        backend, self._backend = self._backend, None
        if backend is not None:
            try:
                with self._border.crossing(f"backend '{self.label}'", "close the run"):
                    backend.flush()
                    backend.close(end)
            except SteelyardError as error:
                self._courier.reopen()
                self._failed(error, 0)
                return False
        self.place.closed = end is not None
        self._courier.reopen()
        self._save(durable=True)
        return True

    def _leave(self) -> None:
        """Let go of a backend that was not closed, whatever the reason."""
        backend, self._backend = self._backend, None
        if backend is None:
            return
        try:
            with self._border.crossing(f"backend '{self.label}'", "close the run"):
                backend.close(None)
            self._save(durable=True)
        except SteelyardError as error:
            self.place.last_error = str(error)

    def _save(self, *, durable: bool = False) -> None:
        """Keep how far it is; what is not synced could be lost with the machine, not otherwise.

        A sync after each batch would hold up the script: it writes to the same disk.
        """
        data = msgspec.json.format(msgspec.json.encode(self._file), indent=2)
        path = mirror_path(self._run_place, self.label)
        if durable:
            write_atomic(path, data)
            return
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            raise FileError(
                f"Can't write {path}: {reason_of(error)}", next_step=next_step_of(error)
            ) from error
