"""The ports of the benchmark: what a plugin of each kind must offer. Docstrings say who calls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import DatasetPlan, EndpointPlan, PhasePlan
from steelyard.domain.bench.response import Piece, RequestContext, WireRequest
from steelyard.domain.bench.slices import TimeSlice
from steelyard.domain.bench.summary import Summary


@runtime_checkable
class Endpoint(Protocol):
    """Shapes requests for one interface and reads its answers. Pure: no I/O, no clock."""

    def __init__(self, plan: EndpointPlan) -> None:
        """Called once per worker."""

    def build(self, history: Sequence[Turn], context: RequestContext) -> WireRequest:
        """Shape the request for `history[-1]`; earlier turns (and answers) are its context.

        Called before the request is due, never while a response is being timed.
        """
        ...

    def read_event(self, data: bytes) -> Piece | None:
        """Read one server-sent event's data; None ends the stream (`[DONE]`).

        Raises:
            ValueError: the data is malformed; the request then counts as failed.
        """
        ...

    def read_body(self, body: bytes) -> Piece:
        """Read a whole non-streamed response body.

        Raises:
            ValueError: the body is malformed; the request then counts as failed.
        """
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Counts and makes tokens, offline."""

    name: str

    def __init__(self, **options: Any) -> None:
        """Called by the dataset manager and by workers that count answers."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` has."""
        ...

    def text_of(self, tokens: int, rng: np.random.Generator) -> str:
        """Return a text of exactly `tokens` tokens by `count`, drawn with `rng`."""
        ...


@runtime_checkable
class ChatTokenizer(Protocol):
    """A tokenizer that may know its model's chat template; beside `Tokenizer`."""

    has_chat_template: bool

    def count_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> int:
        """Return the tokens of a chat request; -1 when the template refuses it.

        Called by the dataset manager for each turn, when there is a template.
        """
        ...


@runtime_checkable
class Dataset(Protocol):
    """Yields conversations, lazily: the first before the last is read."""

    def __init__(self, plan: DatasetPlan, tokenizer: Tokenizer, seed: int) -> None:
        """Called by the dataset manager.

        Raises:
            UsageError: the file is missing or a line of it is wrong (file, line, got, expected).
        """

    def conversations(self) -> Iterator[Conversation]:
        """Yield each conversation once, the same for the same plan and seed."""
        ...


@runtime_checkable
class Arrival(Protocol):
    """The beat of an open loop: a pure function of plan, seed and index."""

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        """Called by each worker and by tests of the schedule."""

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        """Return int64 nanoseconds after the phase's start of indices `first..first+count`."""
        ...


@runtime_checkable
class Ramp(Protocol):
    """How a load grows to its full value: a pure function, so every worker agrees.

    `offsets_ns` is the curve of what comes in whole steps (concurrency), `elapsed_s` that of a
    rate. Both describe the same growth and end with the duration.
    """

    def __init__(self, duration_s: float, seed: int, phase: int) -> None:
        """Called by each worker; `duration_s` is above 0."""

    def offsets_ns(self, steps: int) -> np.ndarray:
        """Return int64 ns after the phase's start at which each of `steps` equal steps is reached.

        Ascending; the first is 0, the last at most the duration.
        """
        ...

    def elapsed_s(self, worth_s: np.ndarray) -> np.ndarray:
        """Return float64 seconds by which is sent what the full rate sends in `worth_s`.

        The inverse of the integral of the rate's share: 0 at 0, never decreasing, nowhere faster
        than the full rate, and exactly at the full rate after the duration. Element by element:
        what else is in the array changes nothing.
        """
        ...


class RunView(Protocol):
    """A finished (or interrupted) run as exporters, consoles and post-processors see it."""

    summary: Summary
    directory: str

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the records in export columns (SPEC names; masked arrays where values miss)."""
        ...

    def rows(self) -> Sequence[dict[str, Any]]:
        """Return the records as a lazy sequence of dicts, one per request."""
        ...

    def slices(self) -> Iterator[TimeSlice]:
        """Yield the metrics of each time slice in order; none when the plan asks for none."""
        ...

    def write_records(self, path: str, format: str) -> None:
        """Write all records to `path` as `parquet`, `jsonl` or `csv`, by rename."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes a run to files. Called by the post-processor manager and `steelyard report`."""

    def export(self, view: RunView) -> list[str]:
        """Write whole files (write, fsync, rename) below `view.directory`; return their paths."""
        ...


@runtime_checkable
class Console(Protocol):
    """Prints a run's result to a person."""

    def render(self, view: RunView) -> Any:
        """Return a rich renderable."""
        ...


@runtime_checkable
class Ui(Protocol):
    """Shows a run in progress. Called by the controller, at most a few times a second."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Show the phase's counts and the live metrics so far."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


@runtime_checkable
class PhaseTracker(Protocol):
    """What a phase hook is given to look at."""

    def create_stats(self) -> PhaseStats:
        """Return the phase's counts and times as of now."""
        ...


@runtime_checkable
class PhaseHook(Protocol):
    """Told of each phase's events, off the hot path, in order of priority."""

    async def on_phase_start(self, phase: Any, tracker: PhaseTracker) -> None:
        """The phase begins."""

    async def on_phase_sending_complete(self, phase: Any, tracker: PhaseTracker) -> None:
        """All requests of the phase have been sent."""

    async def on_phase_complete(self, phase: Any, tracker: PhaseTracker) -> None:
        """Nothing of the phase is in flight any more."""

    async def on_phase_timeout(self, phase: Any, tracker: PhaseTracker) -> None:
        """The phase ran out of time with requests in flight."""


@runtime_checkable
class PostProcessor(Protocol):
    """Works on a run's records after it ended; its result is kept in the artifacts."""

    async def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """Return a `ProcessingResult`; `results` is lazy and may be larger than memory."""
        ...


@runtime_checkable
class RecordMetric(Protocol):
    """A metric with one value per request."""

    tag: str
    header: str
    unit: str
    larger_is_better: bool
    definition: str
    source: str

    def values(self, batch: np.ndarray) -> np.ndarray:
        """Return float64 values in `unit` for a batch of `RECORD_DTYPE`; NaN where none is."""
        ...


@runtime_checkable
class AdjustedMetric(Protocol):
    """A record metric's values once more, with each failed request above all of them: +inf."""

    tag: str
    header: str
    unit: str
    larger_is_better: bool
    definition: str
    source: str

    def adjusts(self) -> str:
        """Return the tag of that metric."""
        ...


@runtime_checkable
class ChunkMetric(Protocol):
    """A metric with one value per gap between two content chunks of a successful request."""

    tag: str
    header: str
    unit: str
    larger_is_better: bool
    definition: str
    source: str

    def chunk_values(self, gaps_ns: np.ndarray) -> np.ndarray:
        """Return float64 values in `unit`, one for each of the int64 nanoseconds."""
        ...


@runtime_checkable
class RunMetric(Protocol):
    """A metric with one value per run, from the totals of its profiling phases."""

    tag: str
    header: str
    unit: str
    larger_is_better: bool
    definition: str
    source: str

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return the value in `unit`; None when the totals do not support it."""
        ...
