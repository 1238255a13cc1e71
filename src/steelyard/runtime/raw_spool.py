"""What one worker says and hears, line by line in a file of its own; joined when the run is over.

The lines do not go over the bus and not into the journal: they are as large as the load itself.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from steelyard.domain.bench.raw_record import RawMetadata, RawWriter, Said
from steelyard.domain.bench.records import ErrorKind
from steelyard.kernel.errors import FileError
from steelyard.runtime.exchange import Exchange
from steelyard.runtime.files import next_step_of, reason_of

RAW_FOLDER = "raw_records"
"""Directory of the spools, below the artifact directory."""
FLUSH_BYTES = 256 * 1024
_ID_FIELD = b"\r\nX-Request-ID: "


def spool_path(artifact_dir: Path, worker: int) -> Path:
    """Return the spool of a worker."""
    return artifact_dir / RAW_FOLDER / f"raw_records_worker_{worker}.jsonl"


class RawSpool:
    """Appends a line per exchange.

    Lines are gathered up to `FLUSH_BYTES` or until `flush`; then they are in the hands of the
    operating system, and survive this process. When the disk refuses them nothing more is written,
    `failure` says why, and the load goes on.

    Args:
        path: the file, made with its directory; readable by its owner only.
        worker: this worker's number.
        phases: names of the plan's phases.
        writer: makes the lines.

    Raises:
        FileError: the file can't be made.
    """

    def __init__(self, path: Path, worker: int, phases: Sequence[str], writer: RawWriter) -> None:
        self._worker = worker
        self._phases = phases
        self._writer = writer
        self._lines: list[bytes] = []
        self._waiting = 0
        self._written = 0
        self.path = path
        self.failure: FileError | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise _refused(path, error) from error

    def add(self, exchange: Exchange, phase: int) -> None:
        """Take an exchange that is over."""
        if self.failure is not None:
            return
        said = Said(
            request=exchange.request,
            start_ns=exchange.start_ns,
            end_ns=exchange.end_ns,
            status=exchange.status,
            head=exchange.head,
            pieces=exchange.pieces,
            stamps=exchange.stamps,
            error=ErrorKind(exchange.error),
            error_text=exchange.error_text,
        )
        line = self._writer.line(self._metadata(exchange, phase), said)
        self._lines.append(line)
        self._waiting += len(line)
        if self._waiting >= FLUSH_BYTES:
            self.flush()

    def _metadata(self, exchange: Exchange, phase: int) -> RawMetadata:
        start = exchange.request.find(_ID_FIELD) + len(_ID_FIELD)
        end = exchange.request.find(b"\r\n", start)
        return RawMetadata(
            x_request_id=exchange.request[start:end].decode("latin-1"),
            schedule_index=exchange.index,
            attempt=exchange.attempt,
            session_num=exchange.session,
            turn_index=exchange.turn,
            benchmark_phase=self._phases[phase],
            worker_id=self._worker,
        )

    def flush(self) -> None:
        """Hand over what is gathered; on failure the file keeps its whole lines."""
        if not self._lines:
            return
        rest = memoryview(b"".join(self._lines))
        size = len(rest)
        self._lines.clear()
        self._waiting = 0
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self.failure = _refused(self.path, error)
            os.ftruncate(self._fd, self._written)
            return
        self._written += size

    def close(self) -> None:
        """Hand over what is gathered and let go of the file."""
        self.flush()
        os.close(self._fd)


def _refused(path: Path, error: OSError) -> FileError:
    return FileError(f"Can't write {path}: {reason_of(error)}", next_step=next_step_of(error))
