"""The page at the end of a run."""

import io

import numpy as np
import pytest
from rich.console import Console

from steelyard.builtin.console.http_trace import HttpTraceConsole
from steelyard.builtin.console.internal import InternalConsole
from steelyard.builtin.console.summary import SummaryConsole
from steelyard.domain.bench.records import ErrorKind
from steelyard.runtime.metrics_table import ConsoleDisabledError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.testing.journals import T0_NS, answered, fake_plan, record_batch, write_journal
from steelyard.testing.journals import refused as refused_row


def page(console, directory, rows, *, width=80, plan=None, messages=None, terminal=False):
    batch = record_batch(rows, messages=messages)
    write_journal(directory, plan or fake_plan(directory), [batch])
    out = Console(width=width, file=io.StringIO(), force_terminal=terminal)
    with open_run(directory, PluginHost.standard()) as view:
        out.print(console.render(view))
    return out.file.getvalue()


def many(count=120):
    pace = np.random.default_rng(3).uniform(4, 6, count)
    return [
        answered(
            i, start_ms=10 * i, ttft_ms=1234.5, itl_ms=pace[i], tokens=64, lag_ms=0.04,
            sent_ns=T0_NS + 10_000_000 * i + 25_000,
        )
        for i in range(count)
    ]  # fmt: skip


def test_the_page_fits_eighty_columns_and_says_what_matters(tmp_path):
    text = page(SummaryConsole(), tmp_path, many())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    first_token = next(line for line in lines if line.startswith("Time to first token (ms)"))
    # 1234.5 ms, in a column of four digits: avg, error bar, min, max, p50, p90, p99, std.
    assert first_token.split()[5:] == ["1234", "0.025", *["1234"] * 5, "0"]
    assert "Verdict: VALID" in text
    assert "Token counts: server_usage 100 %." in text
    assert any(line.startswith("Report: ") for line in lines)


def test_a_servers_words_are_shown_as_text_and_without_secrets(tmp_path):
    rows = [refused_row(i, start_ms=i) for i in range(3)]
    hostile = "[bold red]pwned[/] Authorization: Bearer sk-secret"
    text = page(SummaryConsole(), tmp_path, rows, messages={ErrorKind.HTTP_STATUS: hostile})
    assert "[bold red]pwned[/]" in text
    assert "sk-secret" not in text
    assert "Verdict: INVALID" in text
    assert "all_failed" in text
    assert "Error rate" in text


def test_colours_are_for_terminals(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "\x1b[" not in page(SummaryConsole(), tmp_path / "a", many(100))
    assert "\x1b[1;32mVALID" in page(SummaryConsole(), tmp_path / "b", many(100), terminal=True)


def test_internal_metrics_are_shown_to_who_asks_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ConsoleDisabledError):
        page(InternalConsole(), tmp_path / "a", many(2))
    plan = fake_plan(tmp_path / "b", options={"show_internal_metrics": True})
    text = page(InternalConsole(), tmp_path / "b", many(2), plan=plan)
    assert "Send lag of the client (ms)" in text
    assert "Request latency" not in text


def test_failures_show_what_they_do_to_the_percentiles(tmp_path):
    """A tenth failed: the p99 of those that count as never ended is never."""
    good, bad = many(90), [refused_row(90 + i, start_ms=i) for i in range(10)]
    calm = page(SummaryConsole(), tmp_path / "calm", good, width=120)
    assert "never" not in calm
    text = page(SummaryConsole(), tmp_path / "bad", [*good, *bad], width=120)
    (line,) = [x for x in text.splitlines() if x.startswith("Request latency, failures never")]
    assert line.split()[-2:] == ["never", "-"]


def test_the_phases_of_requests_are_shown_to_those_who_ask(tmp_path):
    asked = fake_plan(tmp_path / "a", show_trace_timing=True)
    rows = np.concatenate(many())
    rows["blocked_ns"], rows["dns_ns"] = 2_000_000, 0
    text = page(HttpTraceConsole(), tmp_path / "a", [rows], plan=asked)
    for name in ("Blocked", "DNS lookup", "Sending", "Waiting", "Receiving", "Connections reused"):
        assert name in text
    assert max(map(len, text.splitlines())) <= 80
    with pytest.raises(ConsoleDisabledError):
        page(HttpTraceConsole(), tmp_path / "b", many())
