"""Values of metrics in scratch files, a column each: exact statistics in memory that stays flat."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from steelyard.domain.bench.selection import Distribution, Moments, distribution

BLOCK_VALUES = 32_768
"""Values of a column that wait in memory before they are written: 256 kB."""


class _Column:
    """One metric's values; short ones never reach the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[np.ndarray] = []
        self._waiting_count = 0
        self._written = 0
        self.moments = Moments()

    def add(self, values: np.ndarray) -> None:
        self._waiting.append(values)
        self._waiting_count += values.size
        if self._waiting_count >= BLOCK_VALUES:
            block = self._gathered()
            with self._path.open("ab") as file:
                # Not tofile(): it leaves a full disk unsaid.
                file.write(block.data)
            self._written += block.size
            self._waiting.clear()

    def _gathered(self) -> np.ndarray:
        """Return what waits as one array, added to the moments."""
        block = np.concatenate(self._waiting)
        self.moments.add(block)
        self._waiting_count = 0
        return block

    def distribution(self, infinite: int) -> Distribution:
        if self._waiting_count:
            self._waiting = [self._gathered()]
        return distribution(self.moments, self._chunks, infinite)

    def _chunks(self) -> Iterator[np.ndarray]:
        if self._written:
            with self._path.open("rb") as file:
                while data := file.read(BLOCK_VALUES * 8):
                    yield np.frombuffer(data, dtype=np.float64)
        yield from self._waiting


class ValueStore:
    """Holds the values of metrics by tag.

    Args:
        directory: where scratch files go once there is something to write; it must exist.
        tags: of the metrics.
    """

    def __init__(self, directory: Path, tags: Iterable[str]) -> None:
        self._columns = {
            tag: _Column(directory / f"values-{number}.f8") for number, tag in enumerate(tags)
        }

    def add(self, values: Mapping[str, np.ndarray]) -> None:
        """Take in float64 values by tag; NaN is no value.

        Raises:
            OSError: they can't be written.
        """
        for tag, column in values.items():
            known = column[~np.isnan(column)]
            if known.size:
                self._columns[tag].add(known)

    def distribution(self, tag: str, infinite: int = 0) -> Distribution:
        """Return the exact statistics of a metric.

        Args:
            tag: the metric's.
            infinite: how many more values there are, each above all others.

        Raises:
            OSError: what was written can't be read.
        """
        return self._columns[tag].distribution(infinite)
