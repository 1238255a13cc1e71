"""From finished exchanges to record batches, in slices that never hold up a socket for long."""

import asyncio
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable

import numpy as np

from steelyard.domain.bench.fold import NO_USAGE, Folded, Keep, fold_body, fold_stream, status_error
from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.ports import Endpoint, Tokenizer
from steelyard.domain.bench.protocol.http_head import content_coding, redirect_target
from steelyard.domain.bench.records import (
    MISSING,
    RECORD_DTYPE,
    ErrorKind,
    StampSource,
    TokenProvenance,
)
from steelyard.kernel.errors import PluginError
from steelyard.runtime.board import Cell
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.response_detail import ResponseDetail

SLICE_NS = 200_000
BACKLOG_MAX = 512
BATCH_ROWS = 1024
_NOT_SUCCESS = 300
_HTTP_ERROR = 400
_CODES = {"<i8": "q", "<i4": "i", "<i2": "h", "|i1": "b", "|b1": "?"}
_ROW = struct.Struct(
    "<" + "".join(_CODES[RECORD_DTYPE[name].str] for name in RECORD_DTYPE.names or ())
)
# What most requests need, bound once: an enum takes 0.1 us to give a member.
_NO_ERROR, _COMPLETED = ErrorKind.NONE, int(Cell.COMPLETED)
_SERVER_USAGE, _KERNEL = TokenProvenance.SERVER_USAGE, StampSource.KERNEL
_NOTHING = Folded()


def _nobody_waits(exchange: Exchange, answer: str, tokens: int) -> None:
    """A recorder without an engine has no conversation to go on with."""


def _nothing_first() -> None:
    """A recorder without an engine has nothing to let go before it."""


class Recorder:
    """Reads bodies after the response, counts tokens, and packs rows.

    Args:
        worker: this worker's number.
        endpoint: reads the bodies.
        tokenizer: called once, when the first answer without server usage needs counting.
        cells: this worker's row of the board.
        send: takes each full batch.

    At most `SLICE_NS` is spent before sockets are looked at again, unless more than `BACKLOG_MAX`
    responses wait: then the backlog is worked off, and the load slows down rather than memory
    growing.

    Attributes:
        before_slice: called before bodies are read: what sends goes first.
        answered: told of each turn of a longer conversation, with the answer's text and its tokens.
        trust_usage: False has tokens counted here whatever the server says.
    """

    def __init__(
        self,
        worker: int,
        endpoint: Endpoint,
        tokenizer: Callable[[], Tokenizer],
        cells: memoryview,
        send: Callable[[RecordBatch], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._worker = worker
        self._endpoint = endpoint
        self._make_tokenizer = tokenizer
        self._tokenizer: Tokenizer | None = None
        self._cells = cells
        self._send = send
        self._loop = loop
        self._queue: deque[Exchange] = deque()
        self._scheduled = False
        self._rows = bytearray(BATCH_ROWS * RECORD_DTYPE.itemsize)
        self._count = 0
        self._gaps = array("q")
        self._messages: dict[int, str] = {}
        self._batch_seq = 0
        self._lags: list[np.ndarray] = []
        self.answered: Callable[[Exchange, str, int], None] = _nobody_waits
        self.before_slice: Callable[[], None] = _nothing_first
        self.trust_usage = True
        self._detail: ResponseDetail | None = None
        self._keep: Keep | None = None
        self.phase = 0
        self.streaming = True
        self.completed = self.failed = self.cancelled = 0

    def keep_detail(self, detail: ResponseDetail) -> None:
        """Keep more of each response than its row, from the next on."""
        self._detail, self._keep = detail, detail.keep

    def begin(self, phase: int, *, streaming: bool) -> None:
        """Hand over the phase before, and count a new one from zero."""
        self.drain()
        self.flush()
        self._batch_seq = 0
        self.phase, self.streaming = phase, streaming
        self.completed = self.failed = self.cancelled = 0

    @property
    def backlog(self) -> int:
        """How many finished exchanges are not read yet."""
        return len(self._queue)

    def add(self, exchange: Exchange) -> None:
        """Take a finished exchange; it is read when the loop has nothing better to do."""
        self._queue.append(exchange)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        self.before_slice()
        queue = self._queue
        until_ns = time.monotonic_ns() + SLICE_NS
        while queue:
            self._record(queue.popleft())
            if len(queue) <= BACKLOG_MAX and time.monotonic_ns() >= until_ns:
                break
        self._scheduled = bool(queue)
        if queue:
            self._loop.call_soon(self._slice)

    def drain(self) -> None:
        """Read everything that waits."""
        while self._queue:
            self._record(self._queue.popleft())

    def _record(self, exchange: Exchange) -> None:
        try:
            folded = self._fold(exchange)
        except PluginError as error:
            exchange.fail(ErrorKind.PLUGIN, str(error))
            folded = _NOTHING
        failed = exchange.error != _NO_ERROR
        cells = self._cells
        if exchange.cancelled:
            self.cancelled += 1
            cells[Cell.CANCELLED] = self.cancelled
        elif failed:
            self.failed += 1
            cells[Cell.FAILED] = self.failed
        else:
            self.completed += 1
            cells[_COMPLETED] = self.completed
        if failed:
            self._messages.setdefault(int(exchange.error), exchange.error_text)
        self._gaps.extend(folded.gaps_ns)
        tokens = self._tokens(exchange, folded)
        self._pack(exchange, folded, tokens)
        detail = self._detail
        if detail is not None:
            detail.add(exchange, self.phase, self._count - 1, tokens[1], tokens[3])
        if self._count == BATCH_ROWS or (detail is not None and detail.full):
            self.flush()
        if exchange.live is not None:
            self.answered(exchange, "".join(folded.texts()), tokens[1])

    def _fold(self, exchange: Exchange) -> Folded:
        if exchange.error != _NO_ERROR:
            return self._partial(exchange)
        pieces = exchange.pieces
        if exchange.status >= _NOT_SUCCESS:
            exchange.fail(ErrorKind.HTTP_STATUS, _status_text(exchange))
            return _NOTHING
        if self.streaming and not (pieces and pieces[0][:1] in b"{["):
            folded = fold_stream(
                self._endpoint, pieces, exchange.stamps, exchange.before_body_ns, self._keep
            )
        else:
            folded = fold_body(self._endpoint, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if folded.error:
            coding = content_coding(exchange.head)
            if coding:
                text = f"the body is encoded ({coding}), for which no request asked"
                exchange.fail(ErrorKind.MALFORMED, text)
            exchange.fail(folded.error, folded.error_text)
        return folded

    def _partial(self, exchange: Exchange) -> Folded:
        """Read how far a broken stream came; what it lacks is no further error."""
        if not self.streaming or not exchange.pieces or exchange.status >= _NOT_SUCCESS:
            return _NOTHING
        before_ns = exchange.before_body_ns
        return fold_stream(self._endpoint, exchange.pieces, exchange.stamps, before_ns, self._keep)

    def _tokens(self, exchange: Exchange, folded: Folded) -> tuple[int, int, int, int, int]:
        """Return input, output, reasoning and first chunk's tokens, and their provenance."""
        usage = folded.usage if self.trust_usage else NO_USAGE
        input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        client_input = exchange.prepared.client_input_tokens
        if input_tokens >= 0 and output_tokens >= 0:
            provenance = _SERVER_USAGE
        else:
            provenance = (
                TokenProvenance.CLIENT_TOKENIZER
                if input_tokens == output_tokens == MISSING
                else TokenProvenance.MIXED
            )
            if input_tokens < 0:
                input_tokens = client_input
            if output_tokens < 0 and exchange.error == _NO_ERROR:
                output_tokens = self._count_tokens("".join(folded.texts()))
            if input_tokens < 0 and output_tokens < 0:
                provenance = TokenProvenance.NONE
        first = MISSING
        if folded.chunks:
            first = 1 if folded.chunks == output_tokens else self._count_tokens(folded.texts()[0])
        return input_tokens, output_tokens, usage.reasoning_tokens, max(first, -1), provenance

    def _count_tokens(self, text: str) -> int:
        if self._tokenizer is None:
            self._tokenizer = self._make_tokenizer()
        return self._tokenizer.count(text)

    def _pack(
        self, exchange: Exchange, folded: Folded, tokens: tuple[int, int, int, int, int]
    ) -> None:
        prepared = exchange.prepared
        if exchange.first_byte_ns == MISSING:
            source = StampSource.NONE
        else:
            source = _KERNEL if exchange.kernel_stamped else StampSource.USER
        setup_ns = exchange.dns_ns + exchange.connect_ns + exchange.tls_ns
        blocked_ns = MISSING
        if exchange.start_ns != MISSING:
            blocked_ns = max(0, exchange.start_ns - exchange.submitted_ns - setup_ns)
        lower_ns = folded.lower_ns if folded.chunks else exchange.before_body_ns
        _ROW.pack_into(
            self._rows, self._count * RECORD_DTYPE.itemsize,
            exchange.index, exchange.attempt, self._worker, self.phase, exchange.turn,
            exchange.session, prepared.entry, prepared.url, exchange.conn_id, exchange.conn_reused,
            exchange.intended_ns, exchange.start_ns, exchange.sent_ns, exchange.first_byte_ns,
            folded.first_token_ns, folded.first_output_ns, folded.second_token_ns,
            folded.last_token_ns, exchange.end_ns, lower_ns, source, folded.coalesced,
            folded.chunks, tokens[3], tokens[0], tokens[1], tokens[2], folded.usage.cached_tokens,
            prepared.requested_output_tokens, prepared.client_input_tokens, tokens[4],
            exchange.status, exchange.error, exchange.cancelled, len(exchange.request),
            exchange.bytes_received, blocked_ns, exchange.dns_ns, exchange.connect_ns,
            exchange.tls_ns, exchange.lag_ns, folded.max_gap_ns,
        )  # fmt: skip
        self._count += 1

    def flush(self) -> None:
        """Hand over what is packed, as one batch."""
        if not self._count:
            return
        data = bytes(memoryview(self._rows)[: self._count * RECORD_DTYPE.itemsize])
        rows = np.frombuffer(data, RECORD_DTYPE)
        started = rows[rows["start_ns"] != MISSING]
        self._lags.append(started["start_ns"] - started["intended_ns"])
        batch = RecordBatch(
            worker=self._worker,
            epoch=self.phase,
            batch_seq=self._batch_seq,
            rows=self._count,
            data=data,
            messages=self._messages,
            gaps=self._gaps.tobytes(),
            chunks=b"" if self._detail is None else self._detail.take(),
        )
        self._batch_seq += 1
        self._count = 0
        self._messages = {}
        self._gaps = array("q")
        self._send(batch)

    def take_send_lag_ns(self) -> tuple[int, int]:
        """Return (p99, max) of start minus intended since the last call; zeros without rows."""
        lags = np.concatenate(self._lags) if self._lags else np.empty(0, np.int64)
        self._lags.clear()
        if not lags.size:
            return 0, 0
        # Not np.percentile: its first call takes 20 ms, which streams in flight would feel.
        lags.sort()
        return int(lags[(lags.size - 1) * 99 // 100]), int(lags[-1])


def _status_text(exchange: Exchange) -> str:
    text = status_error(exchange.status, b"".join(exchange.pieces))
    if exchange.status < _HTTP_ERROR and (target := redirect_target(exchange.head)):
        text = f"HTTP {exchange.status}: a redirect to {target}, which is not followed"
    return text
