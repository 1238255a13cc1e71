"""Post-processors with one fault each, over one that averages latency."""

from collections.abc import Sequence
from typing import Any

from steelyard.domain.bench.processing import ProcessingResult
from steelyard.testing.contracts.post_processor import PostProcessorSubject


class AverageLatency:
    """Conforms."""

    def average(self, times: list[float]) -> Any:
        """Return the mean, None of nothing."""
        return sum(times) / len(times) if times else None

    async def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """Return the average over answered requests."""
        times = [(r["end_ns"] - r["start_ns"]) / 1e6 for r in results if r["status"] is not None]
        metrics = {"latency_ms": self.average(times)}
        return ProcessingResult(success=True, record_count=len(results), metrics=metrics)


class DividesByNothing(AverageLatency):
    """Needs an answer."""

    def average(self, times: list[float]) -> Any:
        """As above, with the fault."""
        return sum(times) / len(times)


class NanForNothing(AverageLatency):
    """Says NaN where there is no value."""

    def average(self, times: list[float]) -> Any:
        """As above, with the fault."""
        return super().average(times) if times else float("nan")


class CountsAnswersOnly(AverageLatency):
    """Forgets failures."""

    async def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """As above, with the fault."""
        return await super().process([r for r in results if r["status"] is not None])


class Edits(AverageLatency):
    """Converts the rows in place."""

    async def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """As above, with the fault."""
        done = await super().process(results)
        for row in results:
            row["end_ns"] /= 1e6
        return done


class ReturnsNumbers(AverageLatency):
    """Returns a bare dict."""

    async def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """As above, with the fault."""
        return {"latency_ms": 1.0}


class NotAsync(AverageLatency):
    """Forgets `async`."""

    def process(self, results: Sequence[dict[str, Any]]) -> Any:
        """As above, with the fault."""
        return ProcessingResult(success=True, record_count=len(results))


def _subject(cls: Any) -> PostProcessorSubject:
    return PostProcessorSubject(cls)


HONEST = _subject(AverageLatency)

SABOTEURS = [
    ("test_a_run_in_which_all_failed_is_processed", _subject(DividesByNothing)),
    ("test_the_metrics_can_be_kept", _subject(NanForNothing)),
    ("test_a_run_in_which_all_failed_is_processed", _subject(CountsAnswersOnly)),
    ("test_the_rows_stay_as_they_are", _subject(Edits)),
    ("test_the_result_says_what_was_processed", _subject(ReturnsNumbers)),
    ("test_process_is_asynchronous", _subject(NotAsync)),
]
