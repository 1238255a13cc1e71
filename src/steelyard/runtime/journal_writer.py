"""The one writer of a journal file: append, sync by policy, repair on reopening."""

import fcntl
import os
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from steelyard import __version__
from steelyard.domain.bench.messages import RecordBatch
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import JournalError
from steelyard.kernel.events import EVENT_SCHEMA
from steelyard.kernel.frames import (
    FILE_HEADER_SIZE,
    FrameType,
    file_header,
    frame_header,
    stream_number,
)
from steelyard.runtime.files import next_step_of, reason_of, sync_directory
from steelyard.runtime.host_facts import boot_id, host_id
from steelyard.runtime.journal_stream import EventBody, StreamCursor, StreamOpened

SUFFIX = ".journal"
SYNC_INTERVAL_S = 0.2
FsyncPolicy = Literal["always", "interval", "never"]

_STREAM_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_encode = msgspec.msgpack.Encoder().encode


class _IntervalSync:
    """Syncs a file a while after something was appended, from a thread of its own.

    An fsync may take longer than a whole response; it must not hold up an event loop.
    """

    def __init__(self, fd: int, interval_s: float) -> None:
        self.error: OSError | None = None
        self._fd = fd
        self._interval_s = interval_s
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def mark(self) -> None:
        if self._due.is_set():
            return
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        # `stop` may fall between the wait and the clear, which then wipes out its call to wake up:
        # it says that it stops before it wakes us, so the next look at that is never too early.
        while not self._stopping.is_set():
            self._due.wait()
            if self._stopping.wait(self._interval_s):
                return
            self._due.clear()
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                self.error = error
                return


class JournalWriter:
    """Appends events and record batches to `<directory>/<stream_id>.journal`.

    Each append reaches the operating system before it returns, so it survives the death of the
    process; `fsync` decides when it survives the death of the machine: `always` before each append
    returns, `interval` within `SYNC_INTERVAL_S` (by a thread started at the first append, so open
    the journal after forking), `never` only by `sync()`. May be called from several threads.

    Opening an existing file of the same run continues it. A torn tail is cut off; if whole frames
    lie behind damage, what is cut is kept beside it as `<stream_id>.cut-<offset>`.

    Args:
        directory: where the journal files of a run lie; made if missing.
        stream_id: names the writer and its file; letters, digits, `_`, `.` and `-`.
        run_id: the run that all of the file's events belong to.
        clock: stamps the events.
        fsync: see above.

    Raises:
        JournalError: the file has another writer, belongs to another run, is no journal, or can't
            be written.
    """

    def __init__(
        self,
        directory: Path,
        stream_id: str,
        *,
        run_id: str,
        clock: Clock,
        fsync: FsyncPolicy = "interval",
    ) -> None:
        if _STREAM_ID.fullmatch(stream_id) is None:
            raise JournalError(
                "A stream's id must do as a file name",
                got=stream_id,
                expected="1 to 128 letters, digits, '_', '.' or '-', not beginning with '.' or '-'",
            )
        self.path = directory / f"{stream_id}{SUFFIX}"
        self.stream_id = stream_id
        self.run_id = run_id
        self._clock = clock
        self._fsync = fsync
        self._lock = threading.Lock()
        self._stream = stream_number(stream_id)
        self._failure: JournalError | None = None
        self._interval: _IntervalSync | None = None
        self._closed = False
        self._pid = os.getpid()
        self._seq = 0
        self._end = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise self._error("Can't open journal", error) from error
        try:
            self._begin()
        except OSError as error:
            os.close(self._fd)
            raise self._error("Can't begin journal", error) from error
        except JournalError:
            os.close(self._fd)
            raise
        if fsync == "interval":
            self._interval = _IntervalSync(self._fd, SYNC_INTERVAL_S)

    def event(self, type: str, payload: dict[str, Any]) -> int:
        """Append an event stamped now; return its seq.

        Raises:
            JournalError: the payload is not plain data, the event is too large, or the file can't
                be written; nothing of the event is then in the journal.
        """
        with self._lock:
            body = EventBody(self._clock.mono_ns(), self._clock.wall_ns(), type, payload)
            try:
                data = _encode(body)
            except (TypeError, ValueError, OverflowError, RecursionError) as error:
                message = f"Event '{type}' can't be journalled: {error}"
                raise JournalError(message, expected="plain data") from error
            return self._append(FrameType.EVENT, data)

    def records(self, batch: RecordBatch) -> None:
        """Append a batch of `RECORD_DTYPE` rows.

        Raises:
            JournalError: the batch's sizes don't agree, it is too large, or the file can't be
                written; nothing of the batch is then in the journal.
        """
        # Readers import this module for names of files, and should not wait for numpy.
        from steelyard.domain.bench.record_codec import encode_batch

        try:
            parts = encode_batch(batch)
        except ValueError as error:
            place = f"worker {batch.worker}, epoch {batch.epoch}, batch {batch.batch_seq}"
            raise JournalError(f"A record batch is malformed ({place}): {error}") from error
        with self._lock:
            self._append(FrameType.RECORDS, *parts)

    def flush(self) -> None:
        """Make sure that all appended so far would survive this process.

        Appends are handed to the operating system at once, so this only raises what a sync in the
        background met.

        Raises:
            JournalError: an earlier append or sync failed.
        """
        with self._lock:
            self._check()

    def sync(self) -> None:
        """Make all appended so far durable. Blocks on the disk: off the event loop, please.

        Raises:
            JournalError: the disk failed, now or in the background.
        """
        self._check()
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._fail("Can't sync journal", error) from error

    def close(self) -> None:
        """Sync (unless the policy is `never`) and let go of the file; a second call does nothing.

        Raises:
            JournalError: the disk failed, now or in the background.
        """
        with self._lock:
            if self._closed:
                return
            try:
                if self._interval is not None:
                    self._interval.stop()
                if self._fsync != "never":
                    self.sync()
            finally:
                self._closed = True
                os.close(self._fd)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's file, and leave it and its lock alone."""
        self._lock = threading.Lock()
        if not self._closed:
            self._closed = True
            os.close(self._fd)

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _begin(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError(
                f"Journal {self.path} has a writer already",
                expected="one writer per file",
                next_step="Wait for the run that has it to end, or choose another directory or id.",
            ) from error
        repaired = self._recover()
        if self._end == 0:
            os.write(self._fd, file_header())
            self._end = FILE_HEADER_SIZE
        from steelyard.domain.bench.record_codec import CHUNK_DESCR, RECORD_DESCR  # as above

        opened = StreamOpened(
            run_id=self.run_id,
            stream_id=self.stream_id,
            host_id=host_id(),
            boot_id=boot_id(),
            mono_ns=self._clock.mono_ns(),
            wall_ns=self._clock.wall_ns(),
            schema=EVENT_SCHEMA,
            steelyard_version=__version__,
            record_descr=RECORD_DESCR,
            chunk_descr=CHUNK_DESCR,
            repaired=repaired,
        )
        self._append(FrameType.OPENED, _encode(opened))
        if self._fsync != "never":
            os.fsync(self._fd)
            sync_directory(self.path.parent)

    def _recover(self) -> dict[str, Any] | None:
        """Find the end of what is whole in an existing file, cut the rest, and say what was cut."""
        size = os.fstat(self._fd).st_size
        head = os.pread(self._fd, FILE_HEADER_SIZE, 0)
        if len(head) < FILE_HEADER_SIZE and file_header().startswith(head):
            # A new file, or one whose writer did not live to finish its header.
            os.ftruncate(self._fd, 0)
            return None
        damage: list[str] = []
        cursor = StreamCursor(self.path, damage.append)
        for _ in cursor.read(frozenset()):
            continue
        if cursor.offset == 0:
            raise JournalError(
                f"Can't continue {self.path}: {damage[0]}", next_step="Move the file away."
            )
        owner = cursor.opened
        if owner is not None and (owner.run_id, owner.stream_id) != (self.run_id, self.stream_id):
            raise JournalError(
                f"Journal {self.path} belongs to another run or stream",
                got=f"run {owner.run_id}, stream {owner.stream_id}",
                expected=f"run {self.run_id}, stream {self.stream_id}",
                next_step="Choose another --artifact-dir.",
            )
        self._seq = cursor.next_seq
        self._end = cursor.offset
        return self._cut(cursor, size, damage) if cursor.offset < size else None

    def _cut(self, cursor: StreamCursor, size: int, damage: list[str]) -> dict[str, Any]:
        repaired: dict[str, Any] = {
            "offset": cursor.offset,
            "bytes_cut": size - cursor.offset,
            "damage": damage,
        }
        if cursor.has_frame_after_damage():
            kept = self.path.with_suffix(f".cut-{cursor.offset}")
            _copy_tail(self._fd, cursor.offset, kept)
            repaired["kept_as"] = kept.name
        os.ftruncate(self._fd, cursor.offset)
        return repaired

    def _append(self, frame_type: FrameType, *parts: bytes) -> int:
        """Write one frame; the caller holds the lock."""
        self._check()
        seq = self._seq
        try:
            header = frame_header(frame_type, self._stream, seq, *parts)
        except ValueError as error:
            raise JournalError(f"Journal {self.path} can't take this: {error}") from error
        size = len(header) + sum(map(len, parts))
        try:
            self._write(size, header, parts)
            if self._fsync == "always":
                os.fdatasync(self._fd)
        except OSError as error:
            self._roll_back(error)
        self._end += size
        self._seq = seq + 1
        if self._interval is not None:
            self._interval.mark()
        return seq

    def _write(self, size: int, header: bytes, parts: tuple[bytes, ...]) -> None:
        written = os.writev(self._fd, (header, *parts))
        if written < size:
            # A full disk takes a part first and says ENOSPC next time.
            rest = memoryview(b"".join((header, *parts)))[written:]
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def _roll_back(self, error: OSError) -> None:
        """Take a half-written frame off again, so that the journal stays whole, and raise."""
        try:
            os.ftruncate(self._fd, self._end)
        except OSError as second:
            raise self._fail("Can't repair journal after a failed write", second) from error
        if self._fsync == "always":
            # What a failed fsync left on the disk is unknown: no later one would tell.
            raise self._fail("Can't write journal", error) from error
        raise self._error("Can't write journal", error) from error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._interval is not None and self._interval.error is not None:
            error = self._interval.error
            raise self._fail("Can't sync journal", error) from error
        if self._closed:
            # The number of a closed file may be another file's by now.
            message = f"Journal {self.path} is closed"
            raise JournalError(message)
        if os.getpid() != self._pid:
            message = f"Journal {self.path} was opened by another process"
            raise JournalError(message, next_step="Open it after forking.")

    def _fail(self, what: str, error: OSError) -> JournalError:
        self._failure = self._error(what, error)
        return self._failure

    def _error(self, what: str, error: OSError) -> JournalError:
        reason = f"{what} {self.path}: {reason_of(error)}"
        return JournalError(reason, next_step=next_step_of(error))


def _copy_tail(fd: int, offset: int, target: Path) -> None:
    with target.open("wb") as file:
        while data := os.pread(fd, 1024 * 1024, offset):
            file.write(data)
            offset += len(data)
        file.flush()
        os.fsync(file.fileno())
