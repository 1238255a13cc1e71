"""No progress at all."""

from collections.abc import Mapping
from typing import Any

from steelyard.domain.bench.messages import PhaseStats


class NoUi:
    """Shows nothing; for scripts."""

    def update(self, stats: PhaseStats, live: Mapping[str, Any]) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave everything as it is."""
