"""The truth log: when each request arrived and when its chunks left, in the server's own words.

Columns, all times CLOCK_MONOTONIC nanoseconds of this host, -1 for "did not happen":

- `x_request_id`: the request's `X-Request-ID` header, empty without one.
- `received_ns`: arrival of the segment that completed the request.
- `received_source`: `kernel` (SO_TIMESTAMPNS, CLOCK_REALTIME less `wall_offset_ns`) or `user`
  (taken when the server read it).
- `first_send_ns`, `second_send_ns`, `last_send_ns`: taken right before the write of the first,
  second and last content chunk; an answer that isn't streamed has one chunk, its body. Chunks due
  at the same moment leave in one write and share its time.
- `chunks`: content chunks written. The role, finish, usage and `[DONE]` events don't count.
- `status`: HTTP status written; 499 when the client left first, 0 when nothing was written.
- `output_tokens`: output tokens written.
- `fault`: the fault that was played, empty for none.
- `wall_offset_ns`: add it to a time of this row to get Unix time.
"""

import time
from pathlib import Path
from typing import TextIO

COLUMNS = (
    "x_request_id",
    "received_ns",
    "received_source",
    "first_send_ns",
    "second_send_ns",
    "last_send_ns",
    "chunks",
    "status",
    "output_tokens",
    "fault",
    "wall_offset_ns",
)

Row = tuple[bytes, int, bool, int, int, int, int, int, int, str]
"""The columns in order, less the offset; the third says whether the kernel stamped."""


def wall_offset_ns() -> int:
    """Return Unix time minus CLOCK_MONOTONIC, from the tightest of three readings."""
    best = (1 << 62, 0)
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        best = min(best, (after - before, wall - (before + after) // 2))
    return best[1]


class TruthLog:
    """Rows in memory, written each second and at the end."""

    def __init__(self, path: str) -> None:
        """Start the file anew.

        Raises:
            OSError: it can't be written.
        """
        self._file: TextIO = Path(path).open("w", encoding="utf-8", newline="")  # noqa: SIM115 - kept open
        self._file.write(",".join(COLUMNS) + "\n")
        self._file.flush()
        self.rows: list[Row] = []

    def flush(self, offset_ns: int) -> None:
        """Write the rows gathered so far, with `offset_ns` as their wall offset."""
        if not self.rows:
            return
        rows, self.rows = self.rows, []
        self._file.write("".join(_line(row, offset_ns) for row in rows))
        self._file.flush()

    def close(self, offset_ns: int) -> None:
        """Write what is left and close the file."""
        self.flush(offset_ns)
        self._file.close()


def _line(row: Row, offset_ns: int) -> str:
    request_id, received, kernel, first, second, last, chunks, status, tokens, fault = row
    return (
        f"{_field(request_id)},{received},{'kernel' if kernel else 'user'},{first},{second},{last},"
        f"{chunks},{status},{tokens},{fault},{offset_ns}\n"
    )


def _field(value: bytes) -> str:
    text = value.decode("latin-1")
    if '"' in text or "," in text:
        return '"' + text.replace('"', '""') + '"'
    return text
