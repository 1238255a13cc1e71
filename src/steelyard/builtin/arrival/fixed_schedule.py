"""Arrival `fixed_schedule`: the times of a trace."""

from pathlib import Path

import numpy as np

from steelyard.domain.bench.plan import PhasePlan
from steelyard.kernel.errors import FileError, PluginError
from steelyard.runtime.files import reason_of

_OFFSET_BYTES = 8


class FixedScheduleArrival:
    """Offsets from the file at the option `path`, little-endian int64 nanoseconds, ascending.

    The dataset manager writes it before the first phase. Behind its end stands its last offset.

    Raises:
        PluginError: no path is given.
        FileError: while offsets are asked for, the file can't be read or is empty.
    """

    def __init__(self, plan: PhasePlan, phase: int, seed: int) -> None:
        """Note the path; the file may not be there yet."""
        del phase, seed  # nothing is drawn
        if not plan.options.get("path"):
            raise PluginError(
                "The arrival fixed_schedule has no schedule",
                expected="the phase's option `path`, which `--fixed-schedule` sets",
            )
        self._path = Path(plan.options["path"])

    def offsets_ns(self, first: int, count: int) -> np.ndarray:
        """Return int64 ns after the phase's start of indices `first..first+count`."""
        try:
            entries = self._path.stat().st_size // _OFFSET_BYTES
            begin = max(0, min(first, entries - 1))
            within = max(0, min(first + count, entries) - begin)
            read = np.fromfile(self._path, "<i8", max(1, within), offset=begin * _OFFSET_BYTES)
        except OSError as error:
            raise FileError(
                f"Can't read the schedule in {self._path}: {reason_of(error)}"
            ) from error
        if not len(read):
            raise FileError(f"The schedule in {self._path} is empty")
        found = read[first - begin :][:count].astype(np.int64)
        return np.concatenate((found, np.full(count - len(found), read[-1], np.int64)))
