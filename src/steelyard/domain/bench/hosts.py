"""The machines of a run whose workers are not all on the controller's: what each did, and when."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import elapsed_ms
from steelyard.domain.bench.records import MISSING
from steelyard.domain.bench.sketch import Sketch
from steelyard.domain.bench.story import Story
from steelyard.domain.bench.summary import HostRow, MetricSummary, WorkerRow
from steelyard.kernel.units import NS_PER_MS

SAME, MEASURED = "same", "measured"
_NS_PER_US = 1_000
_ACROSS_CLOCKS = ("lag", "burst_skew", "intended")
"""Words in the tags of metrics that compare a worker's clock with the controller's schedule."""


class _Share:
    """What one worker sent."""

    def __init__(self) -> None:
        self.rows = self.requests = 0
        self.first: dict[int, tuple[int, int]] = {}  # by phase: start and its lateness, both ns
        self.latency_ms = Sketch()


class WorkerShares:
    """Folds records by worker, in any order; memory grows with workers and phases only."""

    def __init__(self) -> None:
        self._shares: dict[int, _Share] = {}

    def fold(self, rows: np.ndarray, profiling: np.ndarray) -> None:
        """Take in rows of `RECORD_DTYPE`, and which of them are of profiling phases."""
        for worker in np.unique(rows["worker_id"]):
            share = self._shares.setdefault(int(worker), _Share())
            own = rows["worker_id"] == worker
            share.rows += int(own.sum())
            add_latencies(share.latency_ms, rows[own])
            measured = rows[own & profiling]
            share.requests += measured.size
            self._fold_starts(share, measured[measured["start_ns"] != MISSING])

    def _fold_starts(self, share: _Share, sent: np.ndarray) -> None:
        for phase in np.unique(sent["phase"]):
            own = sent[sent["phase"] == phase]
            earliest = own[own["start_ns"].argmin()]
            start = int(earliest["start_ns"])
            known = share.first.get(int(phase))
            if known is None or start < known[0]:
                share.first[int(phase)] = start, start - int(earliest["intended_ns"])

    def requests(self, worker: int) -> int:
        """Return how many records a worker has."""
        return self._shares[worker].requests if worker in self._shares else 0

    def start_skew_ms(self, worker: int) -> float | None:
        """Return how late a worker's first request was, in the phase where it was latest."""
        if worker not in self._shares or not self._shares[worker].first:
            return None
        return max(late for _, late in self._shares[worker].first.values()) / NS_PER_MS

    def compared(self, told: Mapping[int, tuple[int, Sketch]]) -> "Compared":
        """Hold what workers counted themselves to the records that arrived of them.

        Args:
            told: by worker, how many records it had, and the sketch of their latencies in ms.
        """
        merged, arrived = Sketch(), Sketch()
        wrong = []
        for number, (rows, counted) in sorted(told.items()):
            share = self._shares.get(number, _Share())
            if rows != share.rows:
                wrong.append(f"Worker {number} had {rows} records, the journal has {share.rows}")
            elif counted != share.latency_ms:
                wrong.append(f"The latencies of worker {number} are others than it had measured")
            merged.merge(counted)
            arrived.merge(share.latency_ms)
        return Compared(len(told), arrived.count, merged == arrived and not wrong, tuple(wrong))


class Compared(NamedTuple):
    """How what workers counted compares with the journal: how many of both, and what is wrong."""

    workers: int
    latencies: int
    same: bool
    wrong: tuple[str, ...]


def add_latencies(sketch: Sketch, rows: np.ndarray) -> None:
    """Add the time from send to end, in ms, of the rows of `RECORD_DTYPE` that have both."""
    values = elapsed_ms(rows, "start_ns", "end_ns")
    sketch.add(values[~np.isnan(values)])


def leave_out_calibration(story: Story) -> None:
    """Forget the controller's calibration where other machines sent the requests: it is its own."""
    others = {who["name"] for who in story.joined.values() if who["host_id"] != story.host_id}
    if story.calibration is None or not others:
        return
    story.calibration = None
    story.calibration_problem = (
        f"This machine's calibration says nothing of {', '.join(sorted(others))}, where requests "
        "were sent from: error bars have what the run's own stamps leave open, and no more."
    )


def host_rows(story: Story, shares: WorkerShares) -> tuple[HostRow, ...]:
    """Return the machines by name, with the workers of each; none for a run on one machine."""
    lost = {service for service, _ in story.lost}
    rows: dict[tuple[str, str], list[WorkerRow]] = {}
    for number, who in sorted(story.joined.items()):
        load = story.workers.get(number)
        clock = load.clock if load is not None else None
        rows.setdefault((who["name"], who["host_id"]), []).append(
            WorkerRow(
                worker=number,
                service_id=who["service_id"],
                requests=shares.requests(number),
                clock="" if clock is None else SAME if clock.same_clock else MEASURED,
                clock_offset_ns=None if clock is None else clock.offset_ns,
                clock_offset_bound_us=None if load is None or clock is None
                else load.clock_bound_ns / _NS_PER_US,
                clock_drift_ppm=None if clock is None else clock.drift_ppm,
                clock_drift_bound_ppm=None if clock is None else clock.drift_bound_ppm,
                clock_exchanges=0 if clock is None else clock.exchanges,
                clock_jumps=0 if clock is None else clock.jumps,
                start_skew_ms=shares.start_skew_ms(number),
                lost=who["service_id"] in lost,
            )
        )  # fmt: skip
    return tuple(_host(name, host_id, workers) for (name, host_id), workers in rows.items())


def _host(name: str, host_id: str, workers: Sequence[WorkerRow]) -> HostRow:
    bounds = [w.clock_offset_bound_us for w in workers if w.clock_offset_bound_us is not None]
    skews = [w.start_skew_ms for w in workers if w.start_skew_ms is not None]
    return HostRow(
        host=name,
        host_id=host_id,
        requests=sum(worker.requests for worker in workers),
        clock_offset_bound_us=max(bounds, default=None),
        start_skew_ms=max(skews, default=None),
        workers=tuple(workers),
    )


def clock_bound_ms(hosts: Sequence[HostRow]) -> float:
    """Return by how much a worker's times may be off from the controller's, at most."""
    bounds = [host.clock_offset_bound_us or 0.0 for host in hosts]
    return max(bounds, default=0.0) / 1e3


def with_clock_bound(
    metrics: Mapping[str, MetricSummary], hosts: Sequence[HostRow]
) -> dict[str, MetricSummary]:
    """Return the metrics; what compares clocks of two machines may be off by their bound, too.

    All others are differences on one clock and stay as they are.
    """
    bound_ms = clock_bound_ms(hosts)
    if not bound_ms:
        return dict(metrics)
    return {
        tag: _widened(metric, bound_ms)
        if metric.unit == "ms" and any(word in tag for word in _ACROSS_CLOCKS)
        else metric
        for tag, metric in metrics.items()
    }


def _widened(metric: MetricSummary, bound_ms: float) -> MetricSummary:
    source = f"{metric.error_bar_source}+clock" if metric.error_bar_source else "clock"
    return msgspec.structs.replace(
        metric, error_bar=(metric.error_bar or 0.0) + bound_ms, error_bar_source=source
    )


def host_notes(hosts: Sequence[HostRow], compared: Compared) -> tuple[str, ...]:
    """Return what a reader should know of times and numbers that come from several machines."""
    if not hosts:
        return ()
    workers = [worker for host in hosts for worker in host.workers]
    same = sum(worker.clock == SAME for worker in workers)
    bound_us = 1e3 * clock_bound_ms(hosts)
    words = (
        f"{_counted(len(workers), 'worker')} joined from {_counted(len(hosts), 'machine')}. A "
        "latency is a difference on one machine's clock and needs no offset; start skew, lags and "
        "latencies from the intended time have the bound of the clocks' offset in their error: "
        f"{bound_us:.3g} us."
    )
    notes = [words]
    if same:
        notes.append(
            f"{same} of {len(workers)} workers read the controller's own clock (one boot, one time "
            "namespace): their offset is 0 by definition, and no exchange contradicted it."
        )
    if jumps := sum(worker.clock_jumps for worker in workers):
        notes.append(
            f"Clocks parted faster than any drift {jumps} times: one of them was set, or its "
            "machine slept; times across machines are worth less around that."
        )
    if compared.same and compared.workers:
        notes.append(
            f"{_counted(compared.workers, 'worker')} counted latencies where they were measured; "
            "their sketches, merged, are bucket for bucket that of the journal's "
            f"{compared.latencies}."
        )
    return tuple(notes)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
