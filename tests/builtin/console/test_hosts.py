"""The table of a run's machines."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from steelyard.builtin.console.hosts import HostsConsole
from steelyard.domain.bench.summary import HostRow, WorkerRow
from steelyard.runtime.metrics_table import ConsoleDisabledError


def page(*hosts):
    out = Console(width=80, highlight=False)
    view = SimpleNamespace(summary=SimpleNamespace(hosts=hosts))
    with out.capture() as written:
        out.print(HostsConsole().render(view))
    return written.get()


def test_a_machine_has_a_line_with_what_is_lost_and_how_well_its_clock_is_known():
    """Numbers are short, and what is not known is a dash."""
    worker = WorkerRow(worker=0, service_id="worker_0", requests=7, clock="measured", lost=True)
    text = page(
        HostRow(host="box1", host_id="box1-1", requests=7, clock_offset_bound_us=213.42,
                start_skew_ms=1.5, workers=(worker,)),
        HostRow(host="box2", host_id="box2-1", requests=0, clock_offset_bound_us=None,
                start_skew_ms=None, workers=(worker,)),
    )  # fmt: skip
    _, head, first, second = (line.split() for line in text.splitlines())
    assert head[:3] == ["host", "workers", "requests"]
    assert first == ["box1", "1", "(1", "lost)", "7", "213.4", "1.500"]
    assert second[-2:] == ["-", "-"]


def test_a_run_on_one_machine_shows_no_such_table():
    """Most runs have nothing to say there."""
    with pytest.raises(ConsoleDisabledError):
        page()
