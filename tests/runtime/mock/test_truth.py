"""The truth log is plain CSV, whatever a client calls its requests."""

import csv
from pathlib import Path

from steelyard.runtime.mock.truth import COLUMNS, TruthLog


def test_rows_survive_a_csv_reader(tmp_path: Path) -> None:
    """Ids with commas and quotes come back as they were; the offset is on every row."""
    log = TruthLog(str(tmp_path / "t.csv"))
    ids = [b"plain", b'with "quotes", and comma', b""]
    for number, request_id in enumerate(ids):
        log.rows.append((request_id, number, number == 0, 10, -1, 12, 1, 200, 3, ""))
    log.flush(1000)
    log.rows.append((b"late", 3, True, -1, -1, -1, 0, 0, 0, "hang"))
    log.close(2000)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["x_request_id"].encode() for row in rows] == [*ids, b"late"]
    assert [row["received_source"] for row in rows] == ["kernel", "user", "user", "kernel"]
    assert [row["wall_offset_ns"] for row in rows] == ["1000"] * 3 + ["2000"]
