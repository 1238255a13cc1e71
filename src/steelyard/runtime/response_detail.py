"""What `--export-level records` and `raw` keep of a response beyond its row."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from steelyard.domain.bench.chunks import chunk_rows, note_tokens
from steelyard.domain.bench.headers import fill_headers, variables_in
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.raw_record import RawWriter
from steelyard.domain.bench.redact import is_secret_name
from steelyard.kernel.errors import FileError
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.raw_spool import RawSpool, spool_path

BATCH_BYTES_MAX = 1024 * 1024
"""Chunk rows in one batch: it has to fit into a message of the bus."""


class ResponseDetail:
    """Gathers the chunk side table of the batch being packed, and spools what was said.

    The recorder calls `keep` while it folds a stream, `add` when the row is packed, and `take` when
    the batch goes out. What is spooled reaches the operating system before the batch leaves, so
    every record of a journal has its line.

    Args:
        spool: takes requests and responses; None at the level `records`.
    """

    def __init__(self, spool: RawSpool | None) -> None:
        self._spool = spool
        self._events: tuple[Sequence[bytes], Sequence[int], Sequence[int]] | None = None
        self._parts: list[np.ndarray] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        """The batch has as many chunks as one should carry."""
        return self._bytes >= BATCH_BYTES_MAX

    def keep(self, events: Sequence[bytes], marks: Sequence[int], kinds: Sequence[int]) -> None:
        """Hold the events of the stream that is folded until its row is packed."""
        self._events = events, marks, kinds

    def add(
        self, exchange: Exchange, phase: int, row: int, output_tokens: int, first_tokens: int
    ) -> None:
        """Note the chunks of the exchange packed as record `row` of the batch."""
        events, self._events = self._events, None
        if events is not None:
            rows = chunk_rows(*events, exchange.stamps, exchange.before_body_ns)
            rows["row"] = row
            note_tokens(rows, output_tokens, first_tokens)
            self._parts.append(rows)
            self._bytes += rows.nbytes
        if self._spool is not None:
            self._spool.add(exchange, phase)

    def take(self) -> bytes:
        """Return the chunk side table of the batch that goes out."""
        if self._spool is not None:
            self._spool.flush()
        table = b"".join(part.tobytes() for part in self._parts)
        self._parts.clear()
        self._bytes = 0
        return table

    @property
    def failure(self) -> FileError | None:
        """Why the spool is not whole, None when it is."""
        return None if self._spool is None else self._spool.failure

    def close(self) -> None:
        """Let go of the spool's file."""
        if self._spool is not None:
            self._spool.close()


def detail_of(plan: Plan, worker: int, environ: Mapping[str, str]) -> ResponseDetail | None:
    """Return what the plan's export level has a worker keep; None at `summary`.

    Raises:
        FileError: the spool can't be made.
    """
    if plan.export_level == "summary":
        return None
    if plan.export_level != "raw":
        return ResponseDetail(None)
    names = tuple(phase.name for phase in plan.phases)
    path = spool_path(Path(plan.artifact_dir), worker)
    return ResponseDetail(RawSpool(path, worker, names, _raw_writer(plan, environ)))


def _raw_writer(plan: Plan, environ: Mapping[str, str]) -> RawWriter:
    """Return the maker of lines: it knows which headers are secret, and which words."""
    given = plan.endpoint.headers
    hidden = [name for name, value in given if is_secret_name(name) or variables_in(value)]
    words = [environ[variable] for _, value in given for variable in variables_in(value)]
    words += [
        word
        for name, value in fill_headers(given, environ)
        if is_secret_name(name)
        for word in value.split()
    ]
    if plan.endpoint.api_key_env in environ:
        words.append(environ[plan.endpoint.api_key_env])
    return RawWriter(hidden, words)
