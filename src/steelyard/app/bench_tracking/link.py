"""The controller's end of the process that tracks its benchmark."""

import contextlib
import fcntl
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from steelyard.app.bench_tracking.messages import (
    Done,
    Ended,
    Heard,
    Live,
    Opening,
    ToController,
)
from steelyard.kernel.errors import FileError
from steelyard.runtime.fanout import EventPipe, Fanout, buffered_max
from steelyard.runtime.files import next_step_of, reason_of
from steelyard.runtime.pipe_frames import Frames, frame_of

_PROGRAM = "from steelyard.app.bench_tracking.recorder import serve; serve()"
LEAVE_S = 1.0
PIPE_BYTES = 4096
_READ_BYTES = 1 << 16
_log = logging.getLogger("steelyard.run")


class Link:
    """Starts the process and talks to it; nothing here waits but `answers`.

    Args:
        opening: the run to be.
        log: where the process's own words go.
        environ: its environment.

    Attributes:
        told: live events that were to be sent.
        heard: of these, how many the process has put into the run's journal.

    Raises:
        FileError: the log can't be written.
        UsageError: the bound of the queue in `environ` is none.
    """

    def __init__(self, opening: Opening, log: Path, environ: Mapping[str, str]) -> None:
        maxsize = buffered_max(environ)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        except OSError as error:
            raise FileError(
                f"Can't write {log}: {reason_of(error)}", next_step=next_step_of(error)
            ) from error
        with output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environ,
                # Ctrl-C is the controller's, which says how that ended.
                start_new_session=True,
            )
        assert self._process.stdin is not None  # noqa: S101  asked for above
        assert self._process.stdout is not None  # noqa: S101  asked for above
        self._words = self._process.stdin.fileno()
        # What the kernel holds can't give way any more: where figures wait, few old ones should.
        fcntl.fcntl(self._words, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._answers = self._process.stdout.fileno()
        os.set_blocking(self._answers, False)
        self._frames = Frames(ToController)
        self._pipe = EventPipe(self._words, maxsize)
        self._fanout = Fanout(self._pipe, lambda text: _log.warning("tracking: %s", text))
        self.told = 0
        self.heard = 0
        self.has_ended = False
        self._send(opening)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def dropped(self) -> int:
        """Live events that gave way to newer ones."""
        return self._fanout.dropped

    def tell(self, message: Live) -> None:
        """Send how a phase stands, some time; never waits."""
        self.told += 1
        self._send(message)
        for _ in self._read():
            continue

    def end(self, message: Ended) -> None:
        """Send the last word; `answers` then brings what became of it."""
        self._send(message)

    def answers(self, within_s: float) -> Iterator[ToController]:
        """Yield what the process says, until it has no more to say or time is up."""
        deadline = time.monotonic() + within_s
        while not self.has_ended and (left_s := deadline - time.monotonic()) > 0:
            writing = [] if self._pipe.flush() else [self._words]
            select.select([self._answers], writing, [], min(left_s, 1.0))
            yield from self._read()

    def close(self) -> None:
        """Let go of both pipes; a process that is not done goes on with what it has."""
        if self.has_ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _send(self, message: Opening | Live | Ended) -> None:
        if not self._pipe.has_reader():
            return
        self._fanout.put(frame_of(message))
        if not self._pipe.has_reader():
            _log.warning("tracking: its process is gone; the results will be told at the end")

    def _read(self) -> Iterator[ToController]:
        while not self.has_ended:
            try:
                data = os.read(self._answers, _READ_BYTES)
            except BlockingIOError:
                return
            self.has_ended = not data
            for message in self._frames.feed(data):
                if isinstance(message, Heard):
                    self.heard = message.count
                    continue
                self.has_ended = isinstance(message, Done)
                yield message
