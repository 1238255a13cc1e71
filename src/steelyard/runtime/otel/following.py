"""Follows a running benchmark's journal, and hands what requests came to on as results."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from steelyard.domain.bench.messages import RecordBatch
from steelyard.domain.bench.metrics import succeeded
from steelyard.domain.bench.ports import RecordMetric
from steelyard.domain.bench.record_codec import SeenBatches
from steelyard.domain.bench.records import RECORD_DTYPE, ErrorKind
from steelyard.domain.bench.streaming import MetricRecordsData, RecordMetadata
from steelyard.kernel.errors import JournalError, SteelyardError
from steelyard.runtime.journal import JournalReader, JournalTail
from steelyard.runtime.plugin_host import PluginHost

RECORDS = "records"


class RecordsFollower:
    """Reads the batches that records managers append, each once.

    The journal is the queue: a follower that is slow is late, and holds nobody up.

    Args:
        journal: directory of the run's journal, which need not be there yet.
        phases: names of the plan's phases.
        metrics: those with one value per request, asked batch by batch; one that fails is asked no
            more. A request that failed has none.
        host: whose border is crossed to them.
    """

    def __init__(
        self,
        journal: Path,
        phases: Sequence[str],
        metrics: Sequence[RecordMetric],
        host: PluginHost,
    ) -> None:
        self._journal = journal
        self._phases = tuple(phases)
        self._metrics = list(metrics)
        self._host = host
        self._seen = SeenBatches()
        self._tail: JournalTail | None = None

    def poll(self) -> Iterator[list[MetricRecordsData]]:
        """Yield the requests of each batch that came since the last poll.

        Raises:
            JournalError: the journal can't be read.
        """
        tail = self._tail or self._open()
        if tail is None:
            return
        for item in tail.poll():
            if isinstance(item, RecordBatch) and item not in self._seen:
                self._seen.add(item)
                yield self._records_of(np.frombuffer(item.data, RECORD_DTYPE))

    def _open(self) -> JournalTail | None:
        try:
            reader = JournalReader(self._journal)
        except JournalError:
            return None  # the roles are still coming up
        if RECORDS in reader.streams():
            self._tail = reader.tail(RECORDS)
        return self._tail

    def _records_of(self, rows: np.ndarray) -> list[MetricRecordsData]:
        answered = succeeded(rows)
        columns = []
        for metric in list(self._metrics):
            try:
                with self._host.border.crossing(f"metric '{metric.tag}'", "compute its values"):
                    values = np.asarray(metric.values(rows), dtype=np.float64)
            except SteelyardError:
                self._metrics.remove(metric)
                continue
            columns.append((metric.tag, (answered & np.isfinite(values)).tolist(), values.tolist()))
        phases, workers = rows["phase"].tolist(), rows["worker_id"].tolist()
        kinds, cancelled = rows["error_kind"].tolist(), rows["cancelled"].tolist()
        return [
            MetricRecordsData(
                metadata=RecordMetadata(
                    benchmark_phase=self._phases[phases[row]],
                    worker_id=f"worker_{workers[row]}",
                    was_cancelled=cancelled[row],
                ),
                metrics={tag: values[row] for tag, known, values in columns if known[row]},
                error=ErrorKind(kinds[row]).name.lower() if kinds[row] else None,
            )
            for row in range(len(rows))
        ]
