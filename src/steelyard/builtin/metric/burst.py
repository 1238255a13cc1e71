"""How simultaneous the workers' release of a burst was."""

from collections.abc import Mapping

from steelyard.domain.bench.metrics import MetricFlags, MetricGroup


class BurstSkew:
    """Milliseconds from the first to the last send of what all workers release at once."""

    tag = "burst_skew"
    header = "Skew of the release"
    unit = "ms"
    larger_is_better = False
    definition = (
        "max(start_ns) - min(start_ns) of the sessions meant for the start of a closed-loop phase; "
        "the largest of the profiling phases"
    )
    source = "schedule and send stamps"
    flags = MetricFlags.INCLUDES_FAILURES
    group = MetricGroup.INSTRUMENT

    def value(self, totals: Mapping[str, float]) -> float | None:
        """Return ms; None when no phase released two or more sessions at once."""
        skew_s = totals.get("burst_skew_s")
        return None if skew_s is None else 1e3 * skew_s
