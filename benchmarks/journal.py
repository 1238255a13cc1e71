"""What an append to the journal costs, against a plain write of the same bytes in the same run.

    python benchmarks/journal.py [--seconds 1] [--directory DIR]

Prints one row of a Markdown table per case. Rounds of the journal and of the plain file take
turns, and the medians are compared, so that a noisy neighbour meets both. `ns per item` counts
events or records, not frames. Nothing is synced: the disk is not what is measured.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.records import empty_batch
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal import JournalReader, JournalWriter

EVENT_TYPE = "track.metric.logged"
EVENT_PAYLOAD = {"name": "loss", "value": 0.125, "step": 1234, "context": {"split": "train"}}
FRAMES_PER_ROUND = 200
HEADER = (
    "| append | bytes | ns per item | plain write, ns per item | ratio | read back, ns per item |\n"
    "|---|---|---|---|---|---|"
)


def _batches(rows: int) -> Iterable[RecordBatch]:
    data = empty_batch(rows).tobytes()
    number = 0
    while True:
        yield RecordBatch(worker=0, epoch=0, batch_seq=number, rows=rows, data=data, messages={})
        number += 1


def _time(action: Callable[[], None]) -> int:
    begin = time.perf_counter_ns()
    for _ in range(FRAMES_PER_ROUND):
        action()
    return time.perf_counter_ns() - begin


def _frame_size(journal: JournalWriter, append: Callable[[], None]) -> int:
    before = journal.path.stat().st_size
    append()
    return journal.path.stat().st_size - before


def measure(name: str, rows: int, seconds: float, directory: Path) -> str:
    """Return the table's row for events (`rows` 0) or batches of `rows` records."""
    with JournalWriter(
        directory, "bench", run_id="bench", clock=SystemClock(), fsync="never"
    ) as journal:
        batches = iter(_batches(rows))

        def append() -> None:
            if rows:
                journal.records(next(batches))
            else:
                journal.event(EVENT_TYPE, EVENT_PAYLOAD)

        size = _frame_size(journal, append)
        data = bytes(size)
        fd = os.open(directory / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        journal_ns: list[int] = []
        plain_ns: list[int] = []
        try:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or not journal_ns:
                journal_ns.append(_time(append))
                plain_ns.append(_time(lambda: _plain(fd, data)))
        finally:
            os.close(fd)
    items = max(rows, 1)
    frames = 1 + FRAMES_PER_ROUND * len(journal_ns)
    ours, plain = (
        statistics.median(times) / FRAMES_PER_ROUND / items for times in (journal_ns, plain_ns)
    )
    read = _read_ns(directory, rows) / frames / items
    return f"| {name} | {size} | {ours:.1f} | {plain:.1f} | {ours / plain:.2f} | {read:.1f} |"


def _plain(fd: int, data: bytes) -> None:
    os.write(fd, data)


def _read_ns(directory: Path, rows: int) -> int:
    reader = JournalReader(directory)
    begin = time.perf_counter_ns()
    for _ in reader.record_batches() if rows else reader.events():
        continue
    return time.perf_counter_ns() - begin


def main() -> None:
    """Measure each case in a directory of its own and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="per case")
    parser.add_argument("--directory", type=Path, help="where to write; default: a temporary one")
    arguments = parser.parse_args()
    print(HEADER)
    for name, rows in (("event", 0), ("batch of 10", 10), ("batch of 256", 256),
                       ("batch of 4096", 4096)):  # fmt: skip
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            print(measure(name, rows, arguments.seconds, Path(directory)), flush=True)


if __name__ == "__main__":
    main()
