"""One request being answered: what is written when, and what the truth log says of it."""

import time
from typing import Protocol

from steelyard.kernel.units import NS_PER_MS
from steelyard.runtime.mock.asked import Asked
from steelyard.runtime.mock.draws import Draws
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.reactor import Action, Reactor
from steelyard.runtime.mock.script import (
    STREAM_END,
    Script,
    event,
    stamp,
    stream_head,
)
from steelyard.runtime.mock.wire import error_body, response

CLIENT_LEFT = 499

_BEFORE_CONTENT = frozenset({"error", "hang", "garbage"})
_SILENT = frozenset({"hang", "stall"})
_HALFWAY = frozenset({"stall", "reset", "truncated", "malformed", "error-event"})

_OPEN_HEAD = stream_head(close=False)
_CLOSE_HEAD = stream_head(close=True)
_GARBAGE = b"\x16\x03\x01\x00 this is not HTTP\r\n\r\n"
_LATE_ERROR = error_body("The simulated server failed while it answered.", "server_error")


class Pipe(Protocol):
    """What an answer is written through; a connection is one."""

    open: bool

    def write(self, data: bytes) -> None:
        """Send now, or as soon as the kernel takes it."""

    def finish(self, *, close: bool) -> None:
        """The answer is complete."""

    def close_when_flushed(self) -> None:
        """End once everything has left."""

    def reset(self) -> None:
        """End with a TCP reset."""


class Server(Protocol):
    """What an answer needs of the server it belongs to."""

    options: MockOptions
    draws: Draws
    reactor: Reactor
    role_chunks: bool

    def account(self, answer: "Answer", prompt_tokens: int) -> None:
        """Take note of an answer that ended."""


class Answer:
    """Writes one answer through its connection, at its deadlines.

    `first_ns`, `second_ns` and `last_ns` are taken right before the writes; -1 until then.
    """

    __slots__ = (
        "_asked", "_begun", "_close", "_conn", "_due_ns", "_script", "_server", "_stop", "_total",
        "chunks", "done", "fault", "first_ns", "kernel", "last_ns", "number", "received_ns",
        "request_id", "second_ns", "status", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        server: Server,
        conn: Pipe,
        script: Script,
        asked: Asked,
        *,
        number: int,
        request_id: bytes,
        received: tuple[int, bool],
        close: bool,
    ) -> None:
        """Decide everything that the draws of request `number` decide."""
        self._server = server
        self._conn = conn
        self._script = script
        self._asked = asked
        self._close = close
        self._begun = False
        self.number = number
        self.request_id = request_id
        self.received_ns, self.kernel = received
        self.first_ns = self.second_ns = self.last_ns = -1
        self.chunks = self.tokens = self.status = 0
        self.done = False
        self.fault = server.draws.fault(number)
        self._total = 0 if self.fault == "empty" else script.chunks_of(asked.tokens)
        self._stop = self._total // 2 if self.fault in _HALFWAY else self._total
        self._due_ns = self.received_ns + server.draws.ttft_ns(number)
        if server.options.prefill_ms_per_token:
            prefill_ms = server.options.prefill_ms_per_token * asked.prompt_tokens
            self._due_ns += round(prefill_ms * NS_PER_MS)

    def begin(self, now_ns: int) -> None:
        """Write what leaves at once and wait for the rest."""
        asked = self._asked
        if self.fault in _BEFORE_CONTENT:
            self._at(self._refuse, now_ns)
        elif asked.stream:
            opens_ahead = self._server.role_chunks and self._script.role
            if opens_ahead and self._due_ns > now_ns:
                self._conn.write(stamp(self._opening(), self.number))
            self._at(self._stream, now_ns)
        else:
            if asked.tokens > 1:
                draws = self._server.draws
                self._due_ns += draws.gaps_ns(self.number, 1, asked.tokens - 1)
            self._at(self._whole, now_ns)

    def leave(self) -> None:
        """Account for a connection that ended before the answer did."""
        if not self.done:
            if self.fault not in _SILENT:
                self.status = CLIENT_LEFT
            self._account()

    def _at(self, action: Action, now_ns: int) -> None:
        if self._due_ns <= now_ns:
            action(now_ns)
        else:
            self._server.reactor.call_at(self._due_ns, action)

    def _opening(self) -> bytes:
        self._begun = True
        self.status = 200
        head = _CLOSE_HEAD if self._close else _OPEN_HEAD
        return head + self._script.role if self._server.role_chunks else head

    def _stream(self, now_ns: int) -> None:
        if self.done:
            return
        script, first, stop = self._script, self.chunks, self._stop
        end = self._due_chunks(first, now_ns)
        if end - first == 1:
            data = script.content(first, self._asked.tokens)
        else:
            data = script.contents(first, end, self._asked.tokens)
        if not self._begun:
            data = self._opening() + data
        ended = end == stop
        if ended:
            data += self._ending()
        data = stamp(data, self.number)
        if end > first:
            self._stamp_sends(first, end)
        self._conn.write(data)
        if not self._conn.open:
            return
        if ended:
            self._conclude()
        else:
            self._server.reactor.call_at(self._due_ns, self._stream)

    def _due_chunks(self, end: int, now_ns: int) -> int:
        """Return one past the last chunk due; moves the deadline to the chunk after it."""
        draws, script, stop = self._server.draws, self._script, self._stop
        if draws.const_gap_ns == 0:
            return stop
        due_ns, tokens, per_chunk = self._due_ns, self._asked.tokens, script.per_chunk
        while end < stop and due_ns <= now_ns:
            end += 1
            if end < stop:
                size = script.chunk_tokens(end, tokens)
                due_ns += draws.gaps_ns(self.number, end * per_chunk, size)
        self._due_ns = due_ns
        return end

    def _stamp_sends(self, first: int, end: int) -> None:
        now_ns = time.monotonic_ns()
        if first == 0:
            self.first_ns = now_ns
        if first <= 1 < end:
            self.second_ns = now_ns
        self.last_ns = now_ns
        self.chunks = end
        self.tokens = min(end * self._script.per_chunk, self._asked.tokens)

    def _ending(self) -> bytes:
        """Return what follows the last content chunk that will be written."""
        fault = self.fault
        if fault not in _HALFWAY:
            asked = self._asked
            if not asked.usage:
                return self._script.finish(asked.reason)
            tokens = asked.tokens if self._total else 0
            return self._script.finish_usage(asked.reason, asked.prompt_tokens, tokens)
        if fault == "malformed":
            return self._script.broken + STREAM_END
        if fault == "error-event":
            return event(_LATE_ERROR) + STREAM_END
        return event(b'{"cut')[:-6] if fault == "truncated" else b""

    def _conclude(self) -> None:
        if self.fault == "stall":
            return
        self._account()
        if self.fault == "reset":
            self._conn.reset()
        elif self.fault == "truncated":
            self._conn.close_when_flushed()
        else:
            self._conn.finish(close=self._close)

    def _whole(self, _now_ns: int) -> None:
        if self.done or self.fault == "stall":
            return
        asked = self._asked
        tokens = asked.tokens if self._total else 0
        if self._close or self.fault in _HALFWAY:
            body = self._script.body(asked.reason, asked.prompt_tokens, tokens)
            data = self._odd_response(stamp(body, self.number))
        else:
            whole = self._script.whole_response(asked.reason, asked.prompt_tokens, tokens)
            data = stamp(whole, self.number)
        if data:
            self.status = 200
            if self.fault not in _HALFWAY:
                self.chunks, self.tokens = min(1, tokens), tokens
            self.first_ns = self.last_ns = time.monotonic_ns()
            self._conn.write(data)
        if self._conn.open:
            self._conclude()

    def _odd_response(self, body: bytes) -> bytes:
        """Return the response of a fault, or one that closes; nothing where a reset replaces it."""
        if self.fault == "reset":
            return b""
        half = len(body) // 2
        if self.fault == "malformed":
            body = body[:half] + b"]" + body[half + 1 :]
        elif self.fault == "error-event":
            body = _LATE_ERROR
        data = response(200, body, close=self._close)
        return data[:-half] if self.fault == "truncated" else data

    def _refuse(self, _now_ns: int) -> None:
        if self.done or self.fault == "hang":
            return
        if self.fault == "garbage":
            self._conn.write(_GARBAGE)
            self._account()
            self._conn.close_when_flushed()
            return
        self.status = self._server.options.error_status
        body = error_body("The simulated server failed, as it was told to.", "server_error")
        self._conn.write(response(self.status, body, close=self._close))
        if self._conn.open:
            self._conclude()

    def _account(self) -> None:
        self.done = True
        self._server.account(self, self._asked.prompt_tokens)
