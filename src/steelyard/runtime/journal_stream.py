"""One journal file, read from the front: its frames, and what is wrong with it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.record_columns import Descr, check_columns
from steelyard.kernel.events import Event
from steelyard.kernel.frames import (
    FILE_HEADER_SIZE,
    FRAME_HEADER_SIZE,
    Corrupt,
    Frame,
    FrameType,
    Incomplete,
    check_file_header,
    file_header,
    frame_candidates,
    parse_frame,
    stream_number,
)

if TYPE_CHECKING:
    from steelyard.domain.bench.record_codec import BatchDecoder

OPENED_EVENT = "journal.opened"
ALL_FRAMES = frozenset(FrameType)

_CHUNK_BYTES = 1024 * 1024
_CANDIDATES_MAX = 64
_PAYLOAD_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


class StreamOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of the frame with which each writer begins: who writes, and with which columns.

    Journals older than chunk side tables state no `chunk_descr`. `repaired` says what a writer had
    to cut from the file's end before it could go on.
    """

    run_id: str
    stream_id: str
    host_id: str
    boot_id: str
    mono_ns: int
    wall_ns: int
    schema: int
    steelyard_version: str
    record_descr: Descr
    chunk_descr: Descr = ()
    repaired: dict[str, Any] | None = None


class EventBody(msgspec.Struct, frozen=True, array_like=True):
    """Payload of an event frame: what the frame and the stream's opening don't say already."""

    mono_ns: int
    wall_ns: int
    type: str
    payload: dict[str, Any]


_opened_decoder = msgspec.msgpack.Decoder(StreamOpened)
_event_decoder = msgspec.msgpack.Decoder(EventBody)


def _pread(fd: int, size: int, offset: int) -> bytes:
    parts: list[bytes] = []
    while size > 0:
        part = os.pread(fd, size, offset)
        if not part:
            break
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class StreamCursor:
    """A place in a journal file, moved forward by `read`; the file may still be growing.

    The file is read in chunks, not mapped: a writer that repairs it may shorten it, and touching
    a page that is gone would kill the process. No lock is taken, so a reader holds up no writer.

    Args:
        path: the journal file.
        note: called with each sentence about damage, which begins with the file's name.

    Attributes:
        offset: where the next frame begins.
        next_seq: the number that it should have.
        opened: the latest opening frame, None before the first.
        stopped: True when damage was found; nothing behind it is read.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self.offset = 0
        self.next_seq = 0
        self.opened: StreamOpened | None = None
        self.stopped = False
        self._note = note
        self._batches: BatchDecoder | None = None
        self._stream = stream_number(path.stem)

    def read(
        self, wanted: frozenset[FrameType] = ALL_FRAMES, *, live: bool = False
    ) -> Iterator[Event | RecordBatch]:
        """Yield what the frames from here to the end of the file hold.

        Args:
            wanted: types to decode and yield; the others are only checked and counted.
            live: a frame cut by the end of the file is still being written, not damaged.

        Raises:
            OSError: the file can't be opened or read.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not self._may_read(fd, live=live):
                return
            for frame in self._frames(fd, live=live):
                item = self._take(frame, wanted, fd)
                if self.stopped:
                    return
                self.offset += frame.size
                if item is not None:
                    yield item
        finally:
            os.close(fd)

    def has_frame_after_damage(self) -> bool:
        """Tell whether a whole frame lies behind `offset`: then it is damage, not a torn tail.

        Raises:
            OSError: the file can't be opened or read.
        """
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._resync(fd) is not None
        finally:
            os.close(fd)

    def _may_read(self, fd: int, *, live: bool) -> bool:
        if self.stopped or self.offset > 0:
            return not self.stopped
        data = _pread(fd, FILE_HEADER_SIZE, 0)
        if live and file_header().startswith(data) and len(data) < FILE_HEADER_SIZE:
            return False
        problem = check_file_header(data)
        if problem is not None:
            self.stopped = True
            self._note(f"{self.path.name}: {problem}; nothing of it was read")
            return False
        self.offset = FILE_HEADER_SIZE
        return True

    def _frames(self, fd: int, *, live: bool) -> Iterator[Frame]:
        """Yield whole frames from `offset` on; the caller moves it after taking each."""
        buffer = memoryview(b"")
        at = 0
        while True:
            result = parse_frame(buffer, at)
            if isinstance(result, Frame):
                at += result.size
                yield result
                continue
            if isinstance(result, Corrupt):
                self._stop(result.reason, fd)
                return
            data = _pread(fd, max(_CHUNK_BYTES, result.needed), self.offset)
            if len(data) < result.needed and self._ends_inside(data):
                if data and not live:
                    self._stop("the file ends inside a frame", fd)
                return
            buffer, at = memoryview(data), 0

    @staticmethod
    def _ends_inside(data: bytes) -> bool:
        return isinstance(parse_frame(memoryview(data), 0), Incomplete)

    def _take(
        self, frame: Frame, wanted: frozenset[FrameType], fd: int
    ) -> Event | RecordBatch | None:
        if self.opened is not None and frame.stream != self._stream:
            self._stop(f"a frame of another stream (number {frame.stream})", fd)
            return None
        try:
            item = self._decode(frame, wanted)
        except _PAYLOAD_ERRORS as error:
            self._stop(f"a {frame.type.name.lower()} frame holds what it should not: {error}", fd)
            return None
        if frame.seq < self.next_seq:
            self._note(f"{self._place()}: frame {frame.seq} comes a second time; left out")
            return None
        if frame.seq > self.next_seq:
            self._note(f"{self._place()}: frames {self.next_seq} to {frame.seq - 1} are missing")
        self.next_seq = frame.seq + 1
        return item

    def _decode(self, frame: Frame, wanted: frozenset[FrameType]) -> Event | RecordBatch | None:
        if frame.type is FrameType.OPENED:
            opening = self._open(frame)
            return _opening_event(opening, frame.seq) if FrameType.OPENED in wanted else None
        opened = self.opened
        if opened is None:
            message = "the stream was not opened before it"
            raise ValueError(message)
        if frame.type not in wanted:
            return None
        if frame.type is FrameType.RECORDS:
            return self._decoder(opened).decode(frame.payload)
        body = _event_decoder.decode(frame.payload)
        return Event(
            schema=opened.schema,
            run_id=opened.run_id,
            stream_id=opened.stream_id,
            seq=frame.seq,
            mono_ns=body.mono_ns,
            wall_ns=body.wall_ns,
            host_id=opened.host_id,
            boot_id=opened.boot_id,
            type=body.type,
            payload=body.payload,
        )

    def _open(self, frame: Frame) -> StreamOpened:
        opened = _opened_decoder.decode(frame.payload)
        if frame.stream != stream_number(opened.stream_id):
            message = f"stream number {frame.stream} is not that of {opened.stream_id!r}"
            raise ValueError(message)
        check_columns(opened.record_descr)
        if opened.chunk_descr:
            check_columns(opened.chunk_descr)
        self._batches = None
        self._stream = frame.stream
        self.opened = opened
        return opened

    def _decoder(self, opened: StreamOpened) -> "BatchDecoder":
        if self._batches is None:
            # It needs numpy: who follows a run without records should not wait for that.
            from steelyard.domain.bench.record_codec import BatchDecoder

            self._batches = BatchDecoder(opened.record_descr, opened.chunk_descr)
        return self._batches

    def _place(self) -> str:
        return f"{self.path.name}: at byte {self.offset}"

    def _stop(self, reason: str, fd: int) -> None:
        self.stopped = True
        lost = os.fstat(fd).st_size - self.offset
        sentence = f"{self._place()}: {reason}; {lost} bytes from there on were not read"
        resync = self._resync(fd)
        if resync is not None:
            frames = self._count_frames(fd, resync)
            sentence += f", at least {frames} whole frames among them"
        self._note(sentence)

    def _resync(self, fd: int) -> int | None:
        """Return where the first whole frame behind `offset` begins; looks at few candidates."""
        tried = 0
        window = self.offset + 1
        while data := _pread(fd, _CHUNK_BYTES, window):
            for candidate in frame_candidates(data, self._stream, self.next_seq):
                tried += 1
                if tried > _CANDIDATES_MAX:
                    return None
                if isinstance(self._parse_at(fd, window + candidate), Frame):
                    return window + candidate
            if len(data) < _CHUNK_BYTES:
                return None
            window += _CHUNK_BYTES - FRAME_HEADER_SIZE
        return None

    @staticmethod
    def _parse_at(fd: int, offset: int) -> Frame | Incomplete | Corrupt:
        result = parse_frame(memoryview(_pread(fd, FRAME_HEADER_SIZE, offset)), 0)
        if isinstance(result, Incomplete):
            result = parse_frame(memoryview(_pread(fd, result.needed, offset)), 0)
        return result

    def _count_frames(self, fd: int, offset: int) -> int:
        count = 0
        while isinstance(frame := self._parse_at(fd, offset), Frame):
            count += 1
            offset += frame.size
        return count


def _opening_event(opened: StreamOpened, seq: int) -> Event:
    payload: dict[str, Any] = {"steelyard_version": opened.steelyard_version}
    if opened.repaired is not None:
        payload["repaired"] = opened.repaired
    return Event(
        schema=opened.schema,
        run_id=opened.run_id,
        stream_id=opened.stream_id,
        seq=seq,
        mono_ns=opened.mono_ns,
        wall_ns=opened.wall_ns,
        host_id=opened.host_id,
        boot_id=opened.boot_id,
        type=OPENED_EVENT,
        payload=payload,
    )
