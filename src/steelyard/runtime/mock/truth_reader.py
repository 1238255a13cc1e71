"""Reads a truth log back. Apart from the writer, so that the server needs no numpy."""

import csv
from pathlib import Path

import numpy as np

from steelyard.domain.bench.calibration import TRUTH_DTYPE

_COLUMNS = ("received_ns", "first_send_ns", "second_send_ns", "last_send_ns", "chunks")


def read_truth(path: Path) -> np.ndarray:
    """Return the rows of answered requests that bear ids of ours, as `TRUTH_DTYPE`.

    An id is `RUN-pPHASE-INDEX-ATTEMPT`; of several attempts the last row stands.

    Raises:
        OSError: the file can't be read.
    """
    rows: dict[tuple[int, int], tuple[int, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            parts = row["x_request_id"].rsplit("-", 3)
            numbered = len(parts) == 4 and parts[1].startswith("p") and parts[1][1:].isdigit()
            if row["status"] != "200" or not numbered or not parts[2].isdigit():
                continue
            key = int(parts[1][1:]), int(parts[2])
            rows[key] = (*key, *(int(row[column]) for column in _COLUMNS))
    return np.array(list(rows.values()), dtype=TRUTH_DTYPE)
