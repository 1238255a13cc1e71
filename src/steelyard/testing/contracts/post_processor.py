"""The contract of a post-processor: lazy, reading only, and able to say that there was nothing."""

import asyncio
import copy
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from steelyard.domain.bench.ports import PostProcessor
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.plugin_border import PluginBorder
from steelyard.testing.contracts.kit import Contract, require
from steelyard.testing.contracts.sample_run import sample_rows

_PROCESS_S_MAX = 30.0


class LazyRows(Sequence[dict[str, Any]]):
    """Rows made when they are asked for, as a run's are read from its file."""

    def __init__(self, count: int, *, failed: bool = False) -> None:
        self.templates = sample_rows(8, failed=failed)
        self.rows = count

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self.rows

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        """Return a new dict, or a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.rows))]
        if not -self.rows <= index < self.rows:
            raise IndexError(index)
        return dict(self.templates[index % len(self.templates)])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield new dicts."""
        return (self[i] for i in range(self.rows))


@dataclass(frozen=True)
class PostProcessorSubject:
    """A post-processor; `make` builds it when its class takes arguments."""

    cls: type[Any]
    make: Callable[[], PostProcessor] | None = None

    def process(self, rows: Sequence[dict[str, Any]]) -> Any:
        """Return what a new one makes of `rows`, on a loop in a thread of its own."""
        made: PostProcessor = self.make() if self.make is not None else self.cls()
        box: list[Any] = []

        async def call() -> Any:
            return await made.process(rows)

        def work() -> None:
            try:
                with PluginBorder().crossing(self.cls.__name__, "process"):
                    box.append(asyncio.run(call()))
            except SteelyardError as error:
                box.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(_PROCESS_S_MAX)
        require(box, f"process() did not end within {_PROCESS_S_MAX} s")
        if isinstance(box[0], SteelyardError):
            raise AssertionError(str(box[0])) from box[0].__cause__  # noqa: TRY004  a failed claim
        return box[0]


class PostProcessorContract(Contract):
    """Inherit, and override `subject` with a `PostProcessorSubject`."""

    kind = "post_processor"

    def test_process_is_asynchronous(self, subject: PostProcessorSubject) -> None:
        """It shares a loop with other roles."""
        method = getattr(subject.cls, "process", None)
        require(inspect.iscoroutinefunction(method), "process is not async")

    def test_the_result_says_what_was_processed(self, subject: PostProcessorSubject) -> None:
        """`success`, `record_count` and `metrics`, and the count is right."""
        result = subject.process(LazyRows(100))
        for name in ("success", "record_count", "metrics"):
            require(hasattr(result, name), f"the result has no {name}: {result!r}")
        require(result.success is True, f"100 good rows are no success: {result!r}")
        require(result.record_count == 100, f"100 rows count {result.record_count}")

    def test_the_metrics_can_be_kept(self, subject: PostProcessorSubject) -> None:
        """Plain, finite data: what JSON can say."""
        for rows in (LazyRows(100), LazyRows(8, failed=True), LazyRows(0)):
            metrics = subject.process(rows).metrics
            try:
                json.dumps(metrics, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise AssertionError(f"the metrics can't be written: {error}") from error

    def test_a_run_without_requests_is_processed(self, subject: PostProcessorSubject) -> None:
        """No rows: a result that counts none."""
        result = subject.process([])
        require(result.record_count == 0, f"no rows count {result.record_count}")

    def test_a_run_in_which_all_failed_is_processed(self, subject: PostProcessorSubject) -> None:
        """Rows without a single answer."""
        result = subject.process(sample_rows(8, failed=True))
        require(result.record_count == 8, f"8 rows count {result.record_count}")

    def test_the_rows_stay_as_they_are(self, subject: PostProcessorSubject) -> None:
        """They are lent: the next processor reads them too."""
        rows = sample_rows(8)
        before = copy.deepcopy(rows)
        first = subject.process(rows)
        require(rows == before, "process() changed the rows it was given")
        again = subject.process(rows)
        require(first.metrics == again.metrics, "the same rows gave other metrics")
