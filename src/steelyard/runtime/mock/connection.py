"""One client's connection: a raw socket read with the kernel's receive stamps."""

import contextlib
import select
import socket
import struct
import time
from typing import Protocol

from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.mock.answer import Answer
from steelyard.runtime.mock.reactor import Reactor
from steelyard.runtime.mock.wire import (
    BODY_MAX,
    HEAD_MAX,
    BadRequestError,
    Request,
    error_body,
    read_request,
    response,
)

SO_TIMESTAMPNS = 35
"""Socket option and control message type (asm-generic/socket.h); Python has no name for it."""

_READ_BYTES = 65_536
_CONTROL_BYTES = socket.CMSG_SPACE(16)
_TIMESPEC = struct.Struct("@qq")
_OUT_MAX = 256 * 1024 * 1024
_SPLIT_SIZES = (1, 2, 3, 5, 7, 11, 13, 17, 23, 64, 251)
_SPLIT_PAUSE_NS = 100_000
_LINGER_NONE = struct.pack("ii", 1, 0)


class Server(Protocol):
    """What a connection needs of its server; `wall_offset_ns` turns Unix time monotonic."""

    reactor: Reactor
    wall_offset_ns: int

    def answer(self, conn: "Connection", request: Request, received: tuple[int, bool]) -> None:
        """Answer a request that arrived at (CLOCK_MONOTONIC ns, stamped by the kernel)."""

    def forget(self, conn: "Connection", fd: int) -> None:
        """Stop watching a connection that closes."""


class Connection:
    """Reads requests one after the other and writes their answers.

    Attributes:
        answer: the request being answered, if any; later ones wait in the buffer.
        split: bytes leave in odd pieces with pauses, so that the client reads them so.
    """

    __slots__ = (
        "_buffer",
        "_closing",
        "_continued",
        "_fd",
        "_need",
        "_out",
        "_pieces",
        "_received",
        "_server",
        "_serving",
        "_sock",
        "answer",
        "drop",
        "open",
        "split",
    )  # fmt: skip

    def __init__(self, server: Server, sock: socket.socket) -> None:
        """Take over an accepted, non-blocking socket."""
        self._server = server
        self._sock = sock
        self._fd = sock.fileno()
        self._buffer = bytearray()
        self._need = 0
        self._out = bytearray()
        self._pieces = 0
        self._received = (0, False)
        self._serving = False
        self._closing = False
        self._continued = False
        self.answer: Answer | None = None
        self.split = False
        self.drop = False
        self.open = True

    def on_event(self, mask: int) -> None:
        """Read or write what can be; called by the reactor."""
        if mask & select.EPOLLOUT and self._out:
            self._flush()
        if self.open and mask & ~select.EPOLLOUT:
            self._read()

    def write(self, data: bytes) -> None:
        """Send `data` now, and what the kernel won't take as soon as it will."""
        if self._out or self.split:
            self._queue(data)
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._out += data[sent:]
            self._server.reactor.want_write(self._fd, wanted=True)

    def finish(self, *, close: bool) -> None:
        """The answer is written: close, or go on to the next request."""
        self.answer = None
        if close or self.drop:
            self.close_when_flushed()
        elif self._buffer and not self._serving:
            self._serve(bytes(self._buffer))

    def close_when_flushed(self) -> None:
        """Close once everything written has left."""
        self.answer = None
        if self._out:
            self._closing = True
        else:
            self.close()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        if self.open:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.close()

    def close(self) -> None:
        """Close now; an answer in the making is accounted as left by the client."""
        if not self.open:
            return
        self.open = False
        self._server.forget(self, self._fd)
        self._sock.close()
        self._out.clear()
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.leave()

    def _queue(self, data: bytes) -> None:
        idle = not self._out
        self._out += data
        if len(self._out) > _OUT_MAX:
            self.reset()
        elif self.split and idle:
            self._drip(0)

    def _drip(self, _now_ns: int) -> None:
        """Send one odd piece and wait a little."""
        if not self.open or not self._out:
            return
        size = _SPLIT_SIZES[self._pieces % len(_SPLIT_SIZES)]
        self._pieces += 1
        try:
            sent = self._sock.send(self._out[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._out[:sent]
        if self._out:
            self._server.reactor.call_at(time.monotonic_ns() + _SPLIT_PAUSE_NS, self._drip)
        elif self._closing:
            self.close()

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        del self._out[:sent]
        if not self._out:
            self._server.reactor.want_write(self._fd, wanted=False)
            if self._closing:
                self.close()

    def _read(self) -> None:
        try:
            data, control, _flags, _address = self._sock.recvmsg(_READ_BYTES, _CONTROL_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            self.close()
            return
        if control:
            seconds, rest = _TIMESPEC.unpack(control[0][2])
            self._received = (seconds * NS_PER_S + rest - self._server.wall_offset_ns, True)
        else:
            self._received = (time.monotonic_ns(), False)
        if self._buffer or self.answer is not None:
            self._gather(data)
        else:
            self._serve(data)

    def _gather(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if len(buffer) > HEAD_MAX + BODY_MAX:
            self.reset()
        elif self.answer is None and len(buffer) >= self._need:
            self._serve(bytes(buffer))

    def _serve(self, data: bytes) -> None:
        """Answer the complete requests in `data`, in order, while none is left waiting."""
        self._serving = True
        self._need = 0
        while data and self.answer is None and self.open and not self._closing:
            try:
                request = read_request(data)
            except BadRequestError as problem:
                self._refuse(problem)
                break
            if request is None or request.body is None:
                if request is not None:
                    self._need = request.end
                    self._continue(expected=request.expects_continue)
                break
            self._continued = False
            data = data[request.end :]
            self._server.answer(self, request, self._received)
        self._serving = False
        self._buffer[:] = data

    def _continue(self, *, expected: bool) -> None:
        if expected and not self._continued:
            self._continued = True
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, problem: BadRequestError) -> None:
        body = error_body(str(problem), "invalid_request_error")
        self.write(response(problem.status, body, close=True))
        self.close_when_flushed()
