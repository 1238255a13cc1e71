"""What the example hooks write."""

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from aiperf_example_plugin.hooks import ExampleLoggingHook, ExampleMetricsCollectorHook

from steelyard.dialects.aiperf.common.enums import CreditPhase

S = 1_000_000_000
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] "


class Tracker:
    """A phase of 1000 requests: sent after 5.2 s, answered after 7.1 s."""

    def __init__(self, **changes):
        self.stats = {
            "sent": 1000, "completed": 1000, "cancelled": 0, "in_flight": 0, "sessions": 10,
            "start_ns": 3 * S, "sent_end_ns": 3 * S + 5_200_000_000,
            "end_ns": 3 * S + 7_100_000_000,
        } | changes  # fmt: skip

    def create_stats(self):
        return SimpleNamespace(**self.stats)


async def test_the_log_has_the_documented_lines_in_order(tmp_path):
    """Start, sending complete and complete are one line each, with counts and durations."""
    file = tmp_path / "logs" / "phases.log"
    hook = ExampleLoggingHook(log_file=str(file))
    await hook.on_phase_start(CreditPhase.WARMUP, Tracker())
    await hook.on_phase_sending_complete(CreditPhase.WARMUP, Tracker())
    await hook.on_phase_complete(CreditPhase.WARMUP, Tracker())
    start, sending, complete = file.read_text().splitlines()
    assert re.fullmatch(STAMP + "PHASE_START: WARMUP", start)
    assert re.fullmatch(
        STAMP + r"PHASE_SENDING_COMPLETE: WARMUP \| Sent: 1000, Sessions: 10, Duration: 5\.2s",
        sending,
    )
    assert re.fullmatch(
        STAMP + r"PHASE_COMPLETE: WARMUP \| Completed: 1000, Cancelled: 0, Total Duration: 7\.1s",
        complete,
    )


async def test_a_timeout_tells_what_was_still_under_way(tmp_path):
    """A timed-out phase logs its completed and in-flight counts; a plain name works as phase."""
    file = tmp_path / "phases.log"
    hook = ExampleLoggingHook(log_file=str(file))
    await hook.on_phase_timeout("soak", Tracker(completed=990, in_flight=10, end_ns=None))
    line = file.read_text().strip()
    assert re.fullmatch(STAMP + r"PHASE_TIMEOUT: SOAK \| Completed: 990, In Flight: 10", line)


async def test_an_unknown_duration_is_not_shown_as_zero(tmp_path):
    """A phase without an end time says so."""
    file = tmp_path / "phases.log"
    await ExampleLoggingHook(log_file=str(file)).on_phase_complete("x", Tracker(end_ns=None))
    assert file.read_text().rstrip().endswith("Total Duration: n/a")


async def test_events_at_the_same_time_keep_their_order(tmp_path):
    """Fifty events sent together come out in the order they were sent."""
    file = tmp_path / "phases.log"
    hook = ExampleLoggingHook(log_file=str(file))
    await asyncio.gather(*(hook.on_phase_start(f"phase{n:02}", Tracker()) for n in range(50)))
    names = [line.rpartition(" ")[2] for line in file.read_text().splitlines()]
    assert names == [f"PHASE{n:02}" for n in range(50)]


async def test_a_slow_disk_does_not_hold_up_the_event_loop(tmp_path, monkeypatch):
    """While a write takes its time, the loop goes on turning."""
    hook = ExampleLoggingHook(log_file=str(tmp_path / "phases.log"))
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow_append(line):
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(timeout=60)

    monkeypatch.setattr(hook, "_append", slow_append)
    writing = asyncio.create_task(hook.on_phase_start("slow", Tracker()))
    await asyncio.sleep(0.01)
    assert not writing.done()
    release.set()
    await asyncio.wait_for(writing, timeout=60)


async def test_verbose_also_logs(tmp_path, caplog):
    """With verbose the same line goes to the logging system."""
    caplog.set_level("INFO", logger="aiperf_example_plugin.hooks")
    hook = ExampleLoggingHook(log_file=str(tmp_path / "phases.log"), verbose=True)
    await hook.on_phase_start(CreditPhase.PROFILING, Tracker())
    assert (tmp_path / "phases.log").read_text().strip() == caplog.messages[0]


async def test_the_collector_writes_events_and_durations(tmp_path):
    """The JSON holds each event with its counts, and the durations by phase."""
    file = tmp_path / "out" / "metrics.json"
    hook = ExampleMetricsCollectorHook(metrics_file=str(file), aggregate=True)
    await hook.on_phase_start(
        CreditPhase.WARMUP, Tracker(sent=0, completed=0, sent_end_ns=None, end_ns=None)
    )
    await hook.on_phase_sending_complete(CreditPhase.WARMUP, Tracker(in_flight=7, end_ns=None))
    await hook.on_phase_complete(CreditPhase.WARMUP, Tracker())
    written = json.loads(file.read_text())
    assert [e["event"] for e in written["events"]] == [
        "phase_start", "phase_sending_complete", "phase_complete",
    ]  # fmt: skip
    assert written["events"][1]["in_flight"] == 7
    assert written["aggregated"]["phase_durations"] == {"WARMUP": pytest.approx(7.1)}
    assert written["aggregated"] == hook.get_aggregated_metrics()
    assert hook.get_aggregated_metrics()["sending_durations"]["WARMUP"] == pytest.approx(5.2)
    assert list(file.parent.iterdir()) == [file], "no temporary file stays behind"


async def test_without_aggregate_the_file_holds_events_only(tmp_path):
    """`aggregate=False` leaves the sums out of the file; they can still be asked for."""
    file = tmp_path / "metrics.json"
    hook = ExampleMetricsCollectorHook(metrics_file=str(file), aggregate=False)
    await hook.on_phase_timeout("soak", Tracker())
    assert set(json.loads(file.read_text())) == {"events"}
    assert hook.get_aggregated_metrics()["requests"]["SOAK"]["sent"] == 1000
