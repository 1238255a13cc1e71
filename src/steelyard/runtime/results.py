"""A run read back from its journal: the one way to a report, at a run's end or after a crash."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import msgspec
import numpy as np

from steelyard import __version__
from steelyard.domain.bench.clock_steps import ClockSteps
from steelyard.domain.bench.export_columns import ExportColumns, ExportNames
from steelyard.domain.bench.hosts import (
    WorkerShares,
    host_notes,
    host_rows,
    leave_out_calibration,
    with_clock_bound,
)
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.plan_notes import endpoint_notes
from steelyard.domain.bench.records import RECORD_DTYPE
from steelyard.domain.bench.redact import redacted_url
from steelyard.domain.bench.slices import TimeSlice
from steelyard.domain.bench.story import RUN_STARTED, Story
from steelyard.domain.bench.summarize import calibrated, summarize
from steelyard.domain.bench.summary import Summary
from steelyard.domain.bench.totals import Totals
from steelyard.kernel.errors import FileError, JournalError, UsageError
from steelyard.runtime.files import atomic_path
from steelyard.runtime.ingest import Ingest
from steelyard.runtime.journal import JournalReader, go_on, journal_directory
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results_metrics import MetricSet, metric_summaries
from steelyard.runtime.results_store import FORMATS, PAGE_ROWS, RecordStore
from steelyard.runtime.scratch import make_scratch, scratch_places, storage_errors
from steelyard.runtime.sliced import SlicedRun
from steelyard.runtime.value_store import ValueStore


class Rows(Sequence[dict[str, Any]]):
    """The records as dicts in export columns, read a page at a time."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._first = 0
        self._page: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return self._store.rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for first in range(0, len(self), PAGE_ROWS):
            yield from self._store.page(first, first + PAGE_ROWS)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """Return one row, or a list of the rows in a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        if not self._first <= at < self._first + len(self._page):
            self._first = at - at % PAGE_ROWS
            self._page = self._store.page(self._first, self._first + PAGE_ROWS)
        return self._page[at - self._first]


class Results:
    """A finished or interrupted run, as exporters, consoles and post-processors see it.

    A context manager: leaving it removes the scratch files. See `ports.RunView`.
    """

    def __init__(
        self, directory: Path, plan: Plan, store: RecordStore, sliced: SlicedRun, scratch: Path
    ) -> None:
        self.directory = str(directory)
        self.plan = plan
        self.summary: Summary
        self._store = store
        self._sliced = sliced
        self._scratch = scratch

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the records in export columns, as arrays masked where values are missing."""
        for first in range(0, self._store.rows, PAGE_ROWS):
            yield self._store.page_columns(first, first + PAGE_ROWS)

    def rows(self) -> Rows:
        """Return the records as a lazy sequence of dicts."""
        return Rows(self._store)

    def slices(self) -> Iterator[TimeSlice]:
        """Yield the metrics of each time slice, computed as it is asked for.

        Raises:
            UsageError: there are too many slices.
            FileError: there is no room for scratch files.
        """
        return self._sliced.slices()

    def write_records(self, path: str, format: str) -> None:
        """Write all records to `path` by rename.

        Raises:
            UsageError: the format is not `parquet`, `jsonl` or `csv`.
            FileError: the file can't be written.
        """
        if format not in FORMATS:
            raise UsageError(
                "Unknown format of records", got=format, expected=f"one of {', '.join(FORMATS)}"
            )
        target = Path(path)
        next_step = "Free some space, or choose another directory."
        with atomic_path(target) as temporary, storage_errors(target, next_step):
            self._store.copy_to(temporary, format)

    def close(self) -> None:
        """Remove the scratch files; the view can't be read after it."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_run(directory: Path, host: PluginHost, check: Callable[[], None] = go_on) -> Results:
    """Read the journal of the run whose artifacts lie in `directory`; close the result after use.

    Memory does not grow with the run. A journal that is torn or just ends gives the part that is
    there, and a verdict that says so. Scratch files lie beside the artifacts, or where the system
    keeps temporary files when there is no room.

    Args:
        directory: of the artifacts.
        host: the plugins.
        check: called again and again while the run is read, now and later; what it raises ends
            that, and leaves no scratch files.

    Raises:
        JournalError: there is no journal, it does not say what was run, or can't be read.
        FileError: there is no room for scratch files anywhere.
    """
    size = sum(file.stat().st_size for file in journal_directory(directory).glob("*.journal"))
    *first, last = scratch_places(directory, size)
    for place in first:
        try:
            return _open_run(directory, host, place, check)
        except FileError:
            continue
    return _open_run(directory, host, last, check)


def _open_run(directory: Path, host: PluginHost, place: Path, check: Callable[[], None]) -> Results:
    scratch = make_scratch(place)
    try:
        with storage_errors(place):
            return _filled(directory, host, scratch, check)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _filled(directory: Path, host: PluginHost, scratch: Path, check: Callable[[], None]) -> Results:
    reader = _reader(directory, check)
    story = _story(reader, directory)
    leave_out_calibration(story)
    plan = _plan_of(story, directory)
    steps = ClockSteps(story.step_spans())
    metrics = MetricSet(host, plan)
    values = ValueStore(scratch, (*metrics.record, *metrics.chunk))
    totals = Totals(plan.phases)
    ingest = Ingest(values, metrics, totals, plan, steps)
    shares = WorkerShares()
    for batch in reader.record_batches():
        ingest.take(batch)
        if story.joined:
            rows = np.frombuffer(batch.data, dtype=RECORD_DTYPE)
            shares.fold(rows, totals.profiling(rows))
    ingest.flush()
    summaries = metric_summaries(values, metrics, totals)
    if not any(bound.unbounded for bound in metrics.bounds.values()):
        # A calibration speaks of kernel stamps; user-space ones have no known error.
        summaries = calibrated(summaries, plan, story, totals)
    hosts, compared = host_rows(story, shares), shares.compared(story.sketches)
    names = _names(story, plan)
    columns = ExportColumns(names, http_trace=plan.http_trace, stepped=steps.straddled)
    store = RecordStore(scratch / "records.bin", reader, columns, totals.records)
    sliced = SlicedRun(reader, plan, totals, metrics, steps, scratch)
    view = Results(directory, plan, store, sliced, scratch)
    summary = summarize(
        story,
        totals,
        with_clock_bound(summaries, hosts),
        directory=str(directory),
        journal={
            "streams": reader.streams(),
            "batches": ingest.batches,
            "records": totals.records,
        },
        damage=(*reader.damage, *compared.wrong),
        notes=(
            *endpoint_notes(plan),
            *host_notes(hosts, compared),
            *_notes(metrics, ingest, totals),
        ),
        clock_step_records=ingest.stepped,
    )
    view.summary = msgspec.structs.replace(summary, hosts=hosts)
    return view


def read_plan(directory: Path) -> Plan:
    """Return the plan of the run in `directory`, from the start of its journal.

    Raises:
        JournalError: there is no journal, or it does not say what was run.
    """
    return _plan_of(_story(_reader(directory), directory, until=RUN_STARTED), directory)


def _reader(directory: Path, check: Callable[[], None] = go_on) -> JournalReader:
    journal = journal_directory(directory)
    if not directory.is_dir():
        raise JournalError(
            f"There is no directory {directory}",
            expected="the artifact directory of a run",
            next_step="Runs lie in artifacts/ unless --artifact-dir said otherwise.",
        )
    if not journal.is_dir():
        inside = directory.name == journal.name and any(directory.glob("*.journal"))
        raise JournalError(
            f"{directory} is not the artifact directory of a run: it has no {journal.name}/",
            next_step=f"Try: steelyard report {directory.parent}" if inside else None,
        )
    return JournalReader(journal, check)


def _plan_of(story: Story, directory: Path) -> Plan:
    if story.plan is None:
        raise JournalError(
            f"The journal in {directory} does not say what was run",
            expected=f"an event {RUN_STARTED}",
            next_step="Was the run stopped before it began? There is nothing to report then.",
        )
    return story.plan


def _story(reader: JournalReader, directory: Path, until: str = "") -> Story:
    """Fold all events, or those up to the first of type `until`."""
    story = Story()
    try:
        for event in reader.events():
            story.fold(event)
            if event.type == until:
                break
    except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
        raise JournalError(
            f"The journal in {directory} has an event that this version can't read",
            got=str(error),
            next_step=f"This is Steelyard {__version__}; use the version that wrote it.",
        ) from error
    return story


def _notes(metrics: MetricSet, ingest: Ingest, totals: Totals) -> Iterator[str]:
    yield from metrics.failures.values()
    if lost := ingest.gaps_unattributed:
        yield f"{lost} inter-chunk gaps belong to no known request and are left out."
    if ingest.stepped:
        yield (
            f"{ingest.stepped} requests were in flight when the wall clock was set: what they "
            "received has no reliable time and is left out of every latency."
        )
    if totals.user_stamped:
        yield (
            f"{totals.user_stamped} of {totals.succeeded} answers have stamps of this process, the "
            "kernel having none for them (as on Unix sockets): its delays are in their latencies, "
            "which have no error bar."
        )


def _names(story: Story, plan: Plan) -> ExportNames:
    return ExportNames(
        run_id=plan.run_id,
        host_id=story.host_id,
        phases=tuple(phase.name for phase in plan.phases),
        urls=tuple(redacted_url(url) for url in plan.endpoint.urls),
        worker_hosts=_worker_hosts(story, plan),
    )


def _worker_hosts(story: Story, plan: Plan) -> tuple[str, ...]:
    """Return the machine of each worker by its number; empty when all were the controller's."""
    if not story.joined:
        return ()
    known = {number: str(who["host_id"]) for number, who in story.joined.items()}
    return tuple(known.get(number, story.host_id) for number in range(plan.workers))
