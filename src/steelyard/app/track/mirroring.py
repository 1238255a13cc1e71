"""Has the mirrors of a run driven: those of named backends beside the script.

One process is started for them, which imports what they share and forks one for each: it keeps a
backend's imports, its hanging calls and its share of the interpreter away from the script. It
outlives a script that is killed, and tells the backends so. A backend object of the script's own
lives in a thread.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from steelyard.app.track.backends import BackendSpec, maker
from steelyard.domain.track.courier import Place
from steelyard.domain.track.routing import Rule
from steelyard.domain.track.thinning import Sampling
from steelyard.kernel.errors import FileError, SteelyardError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.files import next_step_of, reason_of
from steelyard.runtime.process import yield_to_others
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.layout import STORE_VARIABLE, RunPlace, Store
from steelyard.runtime.track.mirror import Mirror, MirrorFile, mirror_path, read_mirror

MODE_VARIABLE = "STEELYARD_TRACK_MIRRORS"
OPTIONS_VARIABLE = "STEELYARD_TRACK_MIRROR"
"""Holds `SidecarSettings` for the process that drives a script's mirrors."""

FLUSH_S = 10.0
"""How long the end of a run waits for mirrors that are at work."""

FAILING_S = 1.0
"""How long it waits for one whose latest call failed."""

NICE = 10
"""Mirrors get a tenth of a core that a script fills; in the idle class they would get nothing while
a training fills all cores, and nobody could watch it."""
_POLL_S = 0.02
_left_alone: list[int] = []
"""Processes of runs that are over, and still at work: no zombie stays once another run begins."""
_log = logging.getLogger("steelyard.track")


class Driven(Protocol):
    """A mirror that somebody drives."""

    label: str

    def is_done(self) -> bool:
        """Tell whether it has ended."""
        ...

    def place(self) -> Place:
        """Return how far it is."""
        ...

    def stop(self, within_s: float) -> None:
        """Have it end soon; does not wait."""


class InThread:
    """A mirror in a thread of this process, which does not keep the process alive."""

    def __init__(self, mirror: Mirror) -> None:
        self.label = mirror.label
        self._mirror = mirror
        self._thread = threading.Thread(
            target=self._run, name=f"steelyard-mirror-{mirror.label}", daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self._mirror.run()
        except SteelyardError as error:  # told at the run's end, as what a backend says
            self._mirror.place.last_error = str(error)

    def is_done(self) -> bool:
        """Tell whether its thread has ended."""
        return not self._thread.is_alive()

    def place(self) -> Place:
        """Return how far it is."""
        return self._mirror.place

    def stop(self, within_s: float) -> None:
        """Have it end within this time."""
        self._mirror.stop(within_s)


class Sidecar:
    """The process that drives the mirrors of named backends; see `sidecar.main`.

    Raises:
        FileError: its log can't be written.
    """

    def __init__(
        self,
        specs: Sequence[BackendSpec],
        run: RunPlace,
        store: Store,
        rules: Sequence[Rule] = (),
    ) -> None:
        _left_alone[:] = filter(_is_at_work, _left_alone)
        self._left = {spec.label for spec in specs}
        self._reports, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        settings = SidecarSettings(
            report_fd=write_fd, specs=[spec_settings(spec) for spec in specs], rules=tuple(rules)
        )
        log = mirror_path(run, "mirrors").with_suffix(".log")
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        except OSError as error:
            os.close(write_fd)
            raise FileError(
                f"Can't write {log}: {reason_of(error)}", next_step=next_step_of(error)
            ) from error
        with output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "steelyard.app.track.sidecar", str(run.path)],
                env={
                    **os.environ,
                    STORE_VARIABLE: str(store.root),
                    OPTIONS_VARIABLE: json.dumps(msgspec.to_builtins(settings), default=str),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[write_fd],
                # Ctrl-C is for the script: the mirrors then deliver how that ended.
                start_new_session=True,
            )
        os.close(write_fd)
        # The script comes first: where cores are few, mirrors take what is left of them.
        yield_to_others(self._process.pid, NICE)

    def has_ended(self, label: str) -> bool:
        """Tell whether nobody drives the mirror of this label any more."""
        with contextlib.suppress(BlockingIOError):  # nothing new
            while words := os.read(self._reports, 4096):
                self._left.difference_update(words.decode().split())
        if not self._left:
            self._process.wait()  # it has nothing else to do
        return label not in self._left or self._process.poll() is not None

    def __del__(self) -> None:
        """Let go of the reports; the process goes on."""
        os.close(self._reports)
        process = getattr(self, "_process", None)  # none where it could not be started
        if process is not None and process.poll() is None:
            _left_alone.append(process.pid)
            process.returncode = 0  # or it would warn that nobody has waited for it


def _is_at_work(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:  # of a process that we were forked from
        return False


class InProcess:
    """A mirror in a process of its own."""

    def __init__(self, label: str, run: RunPlace, sidecar: Sidecar) -> None:
        self.label = label
        self._run = run
        self._sidecar = sidecar

    def is_done(self) -> bool:
        """Tell whether its process has ended."""
        return self._sidecar.has_ended(self.label)

    def place(self) -> Place:
        """Return how far it is, as it last wrote it down."""
        found = read_mirror(self._run, self.label)
        return found.place if found is not None else Place()

    def stop(self, within_s: float) -> None:
        """It ends when all is delivered, or gives up a while after the run; nobody waits for it."""


class Mirroring:
    """The mirrors of one run.

    Args:
        store, run: where it is.
        specs: the backends.
        rules: which of them is told what.
        environ: `STEELYARD_TRACK_MIRRORS=thread` keeps all mirrors in this process.
    """

    def __init__(
        self,
        store: Store,
        run: RunPlace,
        specs: Sequence[BackendSpec],
        rules: Sequence[Rule] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._run_id = run.path.name
        in_threads = environ.get(MODE_VARIABLE) == "thread" or not sys.executable
        beside = [spec for spec in specs if spec.instance is None and not in_threads]
        sidecar = Sidecar(beside, run, store, rules) if beside else None
        self._driven: list[Driven] = []
        for spec in specs:
            if sidecar is None or spec.instance is not None:
                self._driven.append(InThread(mirror_of(store, run, spec, rules)))
            else:
                self._driven.append(InProcess(spec.label, run, sidecar))

    def places(self) -> dict[str, Place]:
        """Return how far each mirror is, by label."""
        return {driven.label: driven.place() for driven in self._driven}

    def finish(self, within_s: float | None = None) -> dict[str, Place]:
        """Wait for the mirrors after the run has ended, within bounds; return how far each is.

        One whose latest call failed is not waited for longer than `FAILING_S`; `within_s` is
        `FLUSH_S` without it.
        """
        within_s = FLUSH_S if within_s is None else within_s
        for driven in self._driven:
            driven.stop(within_s)
        begun = time.monotonic()
        waiting = [driven for driven in self._driven if not driven.is_done()]
        while waiting and (waited := time.monotonic() - begun) < within_s:
            waiting = [d for d in waiting if not d.is_done()]
            if waited > FAILING_S:
                waiting = [d for d in waiting if not d.place().last_error]
            if waiting:
                time.sleep(_POLL_S)
        places = self.places()
        for label, place in places.items():
            if not place.closed:
                why = f": {place.last_error.rstrip('.')}" if place.last_error else ""
                _log.warning(
                    "Mirror '%s' is not done%s. It can have the rest by: steelyard track sync %s",
                    label, why, self._run_id,
                )  # fmt: skip
            elif place.dropped:
                reasons = "; ".join(place.why_dropped)
                _log.warning("Mirror '%s' refused %d: %s", label, place.dropped, reasons)
        return places


def mirror_of(store: Store, run: RunPlace, spec: BackendSpec, rules: Sequence[Rule] = ()) -> Mirror:
    """Return a mirror that goes on where an earlier one of this label stopped.

    Raises:
        PluginError: what that one kept can't be read.
    """
    kept = read_mirror(run, spec.label)
    file = MirrorFile(
        backend=spec.name, options=spec.shown_options(), rules=tuple(rules), sampling=spec.sampling
    )
    if kept is not None:
        file.place = kept.place
    return Mirror(run, BlobStore(store.blobs), spec.label, file, maker(spec), clock=SystemClock())


class SpecSettings(msgspec.Struct):
    """A backend, as the script tells it to the process that drives its mirror."""

    plugin: str
    label: str
    options: dict[str, Any] = {}
    sampling: Sampling | None = None


class SidecarSettings(msgspec.Struct):
    """What the script tells the process that drives its mirrors; options may have secrets.

    Attributes:
        report_fd: where that writes the label of a mirror that has ended, a line each.
    """

    report_fd: int
    specs: list[SpecSettings]
    rules: tuple[Rule, ...] = ()


def spec_settings(spec: BackendSpec) -> SpecSettings:
    """Return what is told of a backend."""
    return SpecSettings(spec.name, spec.label, spec.options, spec.sampling)


def settings_from(text: str) -> SidecarSettings:
    """Return what the script that started this process said of its mirrors.

    Raises:
        SteelyardError: it said something else than we write.
    """
    try:
        return msgspec.json.decode(text, type=SidecarSettings)
    except msgspec.MsgspecError as error:
        raise SteelyardError(f"{OPTIONS_VARIABLE} can't be read: {error}") from error
