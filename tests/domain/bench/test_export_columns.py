"""The columns of exported records."""

import msgspec
import numpy as np

from steelyard.domain.bench.export_columns import LEADING_COLUMNS, ExportColumns, ExportNames
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, ErrorKind
from steelyard.kernel.ids import make_request_id
from steelyard.testing.journals import T0_NS, answered, refused

NAMES = ExportNames(run_id="r-1", host_id="h", phases=("warm", "main"), urls=("http://a:1",))


def rows(*given):
    return np.concatenate(given)


def test_every_recorded_column_is_exported_once_the_promised_ones_first():
    order = ExportColumns(NAMES).order
    assert order[: len(LEADING_COLUMNS)] == LEADING_COLUMNS
    assert len(set(order)) == len(order)
    assert set(order) >= set(RECORD_DTYPE.names) - {"session"} | {"clock_step"}


def test_ids_are_made_from_numbers_in_one_phase_or_several():
    columns = ExportColumns(NAMES)
    alike = rows(*(answered(i, start_ms=i, ttft_ms=1, attempt=i % 2) for i in range(3)))
    mixed = rows(alike, answered(7, start_ms=9, ttft_ms=1, phase=1, turn=2, session=MISSING))
    expected = [make_request_id("r-1", 0, i, i % 2) for i in range(3)]
    assert columns.lists(alike)["x_request_id"] == expected
    assert columns.lists(mixed)["x_request_id"] == [*expected, make_request_id("r-1", 1, 7, 0, 2)]
    assert columns.lists(mixed)["session_id"] == ["r-1-s0", "r-1-s1", "r-1-s2", None]


def test_numbers_without_a_name_are_nothing():
    """A phase and a server that the plan does not know, and the ones it knows."""
    batch = rows(
        answered(0, start_ms=0, ttft_ms=1),
        answered(1, start_ms=0, ttft_ms=1, phase=9, endpoint_url=MISSING),
    )
    lists = ExportColumns(NAMES).lists(batch)
    assert lists["phase"] == ["warm", None]
    assert lists["endpoint_url"] == ["http://a:1", None]
    assert lists["error_kind"] == ["none", "none"]


def test_each_row_has_the_machine_of_its_worker_when_they_are_on_several():
    """One value for all rows of a run on one machine, or of a page of one worker."""
    batch = rows(*(answered(i, start_ms=i, ttft_ms=1, worker_id=i % 2) for i in range(3)))
    assert ExportColumns(NAMES).lists(batch)["host_id"] == ["h"] * 3
    several = msgspec.structs.replace(NAMES, worker_hosts=("box0", "box1"))
    columns = ExportColumns(several)
    assert columns.lists(batch)["host_id"] == ["box0", "box1", "box0"]
    codes, names = columns.hosts(batch)
    assert [names[code] for code in codes] == ["box0", "box1", "box0"]


def test_the_phases_of_a_request_are_columns_when_asked_for():
    """Sent over 1 ms, answered 4 ms later, received over 3 ms; the failure has no first byte."""
    ms = 1_000_000
    batch = rows(
        answered(0, start_ms=0, ttft_ms=5, itl_ms=3, tokens=2, sent_ns=T0_NS + ms),
        refused(1, start_ms=0, kind=ErrorKind.RESET),
    )
    lists = ExportColumns(NAMES, http_trace=True).lists(batch)
    assert lists["sending_ns"] == [ms, 0]
    assert lists["waiting_ns"] == [4 * ms, None]
    assert lists["receiving_ns"] == [3 * ms, None]
    assert "sending_ns" not in ExportColumns(NAMES).order


def test_arrays_are_masked_where_values_are_missing():
    batch = rows(answered(0, start_ms=0, ttft_ms=5), refused(1, start_ms=0, session=MISSING))
    arrays = ExportColumns(NAMES, stepped=lambda b: b["schedule_index"] == 1).arrays(batch)
    assert arrays["start_ns"].dtype == np.int64
    assert np.ma.getmaskarray(arrays["first_token_ns"]).tolist() == [False, True]
    assert np.ma.getmaskarray(arrays["session_id"]).tolist() == [False, True]
    assert arrays["clock_step"].tolist() == [False, True]


def test_no_rows_are_no_values():
    lists = ExportColumns(NAMES, http_trace=True).lists(np.empty(0, RECORD_DTYPE))
    assert set(map(len, lists.values())) == {0}
