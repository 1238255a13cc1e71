"""A run read back from its journal, against truth computed by hand."""

import json
import os

import duckdb
import numpy as np
import pytest

from steelyard.domain.bench.calibration import Calibration, ErrorSpread, LoadLevel, ceilings
from steelyard.domain.bench.export_columns import LEADING_COLUMNS
from steelyard.domain.bench.messages import PhaseStats
from steelyard.domain.bench.plan import EndpointPlan, PhasePlan
from steelyard.domain.bench.records import MISSING, RECORD_DTYPE, ErrorKind, StampSource
from steelyard.kernel.errors import JournalError, UsageError
from steelyard.kernel.ids import make_request_id
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run, read_plan
from steelyard.testing.journals import (
    T0_NS,
    answered,
    fake_plan,
    record_batch,
    refused,
    worker_facts,
    write_journal,
)


@pytest.fixture
def host():
    return PluginHost.standard()


def run_of(directory, rows, **more):
    plan = more.pop("plan", None) or fake_plan(directory)
    messages = more.pop("messages", None)
    write_journal(directory, plan, [record_batch(rows, messages=messages)], **more)
    return plan


def test_statistics_are_exact(tmp_path, host):
    """TTFT of 1..200 ms: median 100.5, p99 by interpolation 198.01, sample deviation 57.879."""
    order = np.random.default_rng(7).permutation(200)
    rows = [answered(i, start_ms=i, ttft_ms=float(t + 1)) for i, t in enumerate(order)]
    run_of(tmp_path, rows)
    with open_run(tmp_path, host) as view:
        metric = view.summary.metrics["time_to_first_token"]
    truth = np.arange(1, 201.0)
    assert (metric.count, metric.min, metric.max) == (200, 1, 200)
    assert metric.avg == pytest.approx(100.5)
    assert metric.std == pytest.approx(np.std(truth, ddof=1))
    for p in (1, 5, 10, 25, 50, 75, 90, 95, 99):
        assert getattr(metric, f"p{p}") == pytest.approx(np.percentile(truth, p)), p


def test_failures_and_warm_up_never_enter_the_latencies(tmp_path, host):
    """2 answers of 20 ms; the warm-up took 900 ms, the failure 5 s, the cancelled one 2 s."""
    plan = fake_plan(
        tmp_path,
        phases=(PhasePlan(name="warmup", kind="warmup"), PhasePlan(name="profiling")),
    )
    rows = [
        answered(0, start_ms=0, ttft_ms=900, phase=0),
        answered(0, start_ms=1000, ttft_ms=20, phase=1),
        answered(1, start_ms=1010, ttft_ms=20, phase=1),
        refused(2, start_ms=1020, after_ms=5000, phase=1),
        refused(3, start_ms=1020, after_ms=2000, phase=1, kind=ErrorKind.CANCELLED),
    ]
    run_of(tmp_path, rows, plan=plan)
    with open_run(tmp_path, host) as view:
        metrics = view.summary.metrics
        assert len(view.rows()) == 5
    assert metrics["request_latency"].count == 2
    assert metrics["request_latency"].max == 20
    assert metrics["request_count"].avg == 2
    assert metrics["error_request_count"].avg == 1
    assert metrics["cancelled_request_count"].avg == 1
    assert metrics["schedule_lag"].count == 4


def test_throughput_and_concurrency_are_those_of_the_whole_run(tmp_path, host):
    """4 answers of 100 ms, one after the other in 0.4 s, 5 tokens each: 10/s, 50 tokens/s, 1."""
    rows = [answered(i, start_ms=100 * i, ttft_ms=20, itl_ms=20, tokens=5) for i in range(4)]
    run_of(tmp_path, rows)
    with open_run(tmp_path, host) as view:
        metrics = view.summary.metrics
    assert metrics["request_throughput"].avg == pytest.approx(10)
    assert metrics["output_token_throughput"].avg == pytest.approx(50)
    assert metrics["total_token_throughput"].avg == pytest.approx(150)
    assert metrics["effective_concurrency"].avg == pytest.approx(1)
    assert metrics["inter_token_latency"].p50 == pytest.approx(20)
    assert metrics["inter_chunk_latency"].count == 16
    assert metrics["output_sequence_length"].provenance == "server_usage 100 %"


def test_goodput_counts_who_met_every_objective(tmp_path, host):
    """TTFT at most 20 ms and ITL at most 6 ms: only the first of three; in 0.1 s that is 10/s."""
    rows = [
        answered(0, start_ms=0, ttft_ms=20, itl_ms=6, tokens=2),
        answered(1, start_ms=0, ttft_ms=21, itl_ms=6, tokens=2),
        answered(2, start_ms=0, ttft_ms=20, itl_ms=80, tokens=2),
        refused(3, start_ms=0),
    ]
    goodput = {"time_to_first_token": 20.0, "inter_token_latency": 6.0}
    run_of(tmp_path, rows, plan=fake_plan(tmp_path, goodput=goodput))
    with open_run(tmp_path, host) as view:
        metrics = view.summary.metrics
    assert metrics["good_request_count"].avg == 1
    assert metrics["goodput"].avg == pytest.approx(10)


def test_the_error_bar_is_what_stamps_bound_or_nothing(tmp_path, host):
    """Sending took 30 us and 50 us: 0.04 ms on average; one user-space stamp makes it unknown."""
    rows = [
        answered(0, start_ms=0, ttft_ms=5, itl_ms=1, tokens=2, sent_ns=T0_NS + 30_000),
        answered(1, start_ms=0, ttft_ms=5, itl_ms=1, tokens=2, sent_ns=T0_NS + 50_000),
    ]
    (tmp_path / "a").mkdir()
    run_of(tmp_path / "a", rows)
    with open_run(tmp_path / "a", host) as view:
        metric = view.summary.metrics["time_to_first_token"]
        output = view.summary.metrics["time_to_first_output_token"]
        pace = view.summary.metrics["inter_token_latency"]
    assert (metric.error_bar, metric.error_bar_source) == (pytest.approx(0.04), "stamps")
    assert output.error_bar == metric.error_bar
    assert pace.error_bar is None
    rows[1]["stamp_source"] = StampSource.USER
    (tmp_path / "b").mkdir()
    run_of(tmp_path / "b", rows)
    with open_run(tmp_path / "b", host) as view:
        assert view.summary.metrics["time_to_first_token"].error_bar is None


def test_a_calibration_speaks_of_kernel_stamps_only(tmp_path, host):
    """0.25 ms of the host's and 0.04 ms of the stamps; nothing for a run with user-space stamps."""
    level = LoadLevel(
        name="", streaming=True, in_flight=1, requests=1, failed=0, requests_per_s=1,
        events_per_s=1, errors={"ttft": ErrorSpread(count=1, p50=0.1, p99=0.25, max=1)},
    )  # fmt: skip
    known = Calibration(made_wall_ns=5, facts={}, levels=(level,), ceilings=ceilings((level,)))
    row = answered(0, start_ms=0, ttft_ms=5, itl_ms=1, tokens=2, sent_ns=T0_NS + 40_000)
    bars = {}
    for source in (StampSource.KERNEL, StampSource.USER):
        row["stamp_source"] = source
        run_of(tmp_path / source.name, [row], calibration=known)
        with open_run(tmp_path / source.name, host) as view:
            metric = view.summary.metrics["time_to_first_token"]
            assert view.summary.run.calibration == {"made_wall_ns": 5}
        bars[source] = (metric.error_bar, metric.error_bar_source)
    assert bars == {
        StampSource.KERNEL: (pytest.approx(0.29), "calibration"),
        StampSource.USER: (None, ""),
    }


def test_export_rows_have_the_promised_columns_and_nulls(tmp_path, host):
    endpoint = EndpointPlan(urls=("http://a'b:1", "http://me:pw@c:2"), streaming=True)
    plan = fake_plan(tmp_path, endpoint=endpoint)
    rows = [
        answered(7, start_ms=0, ttft_ms=5, endpoint_url=1),
        refused(8, start_ms=1, kind=ErrorKind.CONNECT, status=MISSING, start_ns=MISSING),
    ]
    run_of(tmp_path, rows, plan=plan)
    with open_run(tmp_path, host) as view:
        good, bad = view.rows()
        assert view.rows()[-1] == bad
        assert view.rows()[0:2] == [good, bad]
    assert tuple(good)[: len(LEADING_COLUMNS)] == LEADING_COLUMNS
    assert set(RECORD_DTYPE.names) - {"session"} <= set(good)
    assert good["x_request_id"] == make_request_id(plan.run_id, 0, 7, 0)
    assert good["session_id"] == f"{plan.run_id}-s7"
    assert good["endpoint_url"] == "http://c:2"
    assert bad["endpoint_url"] == "http://a'b:1"
    assert (good["stamp_source"], good["token_provenance"]) == ("kernel", "server_usage")
    assert (good["error_kind"], bad["error_kind"]) == ("none", "connect")
    assert (bad["start_ns"], bad["status"], bad["first_token_ns"]) == (None, None, None)
    assert (good["phase"], good["cancelled"]) == ("profiling", False)


def test_every_format_holds_every_row(tmp_path, host):
    rows = [answered(i, start_ms=i, ttft_ms=5) for i in range(3)] + [refused(3, start_ms=3)]
    run_of(tmp_path, rows)
    with open_run(tmp_path, host) as view:
        expected = list(view.rows())
        for kind in ("parquet", "jsonl", "csv"):
            view.write_records(str(tmp_path / f"out.{kind}"), kind)
        with pytest.raises(UsageError, match="expected one of parquet, jsonl, csv"):
            view.write_records(str(tmp_path / "out.xml"), "xml")
        batch = next(view.batches())
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == expected
    table = duckdb.connect().execute("FROM read_parquet($p)", {"p": str(tmp_path / "out.parquet")})
    names = [column[0] for column in table.description]
    assert [dict(zip(names, row, strict=True)) for row in table.fetchall()] == expected
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 5
    assert batch["start_ns"].tolist() == [row["start_ns"] for row in expected]
    assert np.ma.getmaskarray(batch["first_token_ns"]).tolist() == [False, False, False, True]
    assert not (tmp_path / "out.xml").exists()


def test_a_run_that_was_killed_gives_what_was_journalled(tmp_path, host):
    rows = [answered(i, start_ms=i, ttft_ms=5) for i in range(100)]
    journal = write_journal(
        tmp_path,
        fake_plan(tmp_path),
        [record_batch(rows), record_batch(rows, batch_seq=1)],
        status=None,
        facts=[worker_facts()],
    )
    with open_run(tmp_path, host) as view:
        assert view.summary.run.status == "interrupted"
        assert [cause.code for cause in view.summary.verdict.causes] == ["interrupted"]
        whole = len(view.rows())
    records = journal / "records.journal"
    os.truncate(records, records.stat().st_size - 300)
    with open_run(tmp_path, host) as view:
        codes = [cause.code for cause in view.summary.verdict.causes]
        assert (whole, len(view.rows())) == (200, 100)
    assert set(codes) == {"interrupted", "journal_damaged"}


def test_a_batch_that_was_sent_twice_counts_once(tmp_path, host):
    rows = [answered(i, start_ms=i, ttft_ms=5) for i in range(4)]
    write_journal(tmp_path, fake_plan(tmp_path), [record_batch(rows), record_batch(rows)])
    with open_run(tmp_path, host) as view:
        assert view.summary.metrics["request_count"].avg == 4


def test_a_run_without_any_record_is_a_summary_all_the_same(tmp_path, host):
    write_journal(tmp_path, fake_plan(tmp_path), [])
    with open_run(tmp_path, host) as view:
        assert view.summary.verdict.status == "INVALID"
        assert view.summary.verdict.causes[0].code == "no_records"
        assert list(view.rows()) == []
        view.write_records(str(tmp_path / "none.parquet"), "parquet")
    assert (tmp_path / "none.parquet").exists()


def test_what_the_run_knows_reaches_the_verdict(tmp_path, host):
    rows = [answered(i, start_ms=i, ttft_ms=5) for i in range(100)]
    stats = PhaseStats(phase="profiling", phase_index=0, sent=103, in_flight=3)
    run_of(
        tmp_path,
        rows,
        facts=[worker_facts(2, cpu_s=0.9, span_s=1.0, clock_steps=1)],
        phases=[("timeout", stats)],
        lost=[("worker_1", "worker")],
        status="failed",
    )
    with open_run(tmp_path, host) as view:
        summary = view.summary
    assert [cause.code for cause in summary.verdict.causes] == [
        "worker_lost", "ended_early", "phase_timeout", "client_cpu", "clock_stepped",
    ]  # fmt: skip
    assert summary.run.lost_services == ("worker_1",)
    assert summary.phases[0]["sent"] == 103
    assert summary.phases[0]["records"] == 100


class Doubled:
    tag, header, unit, larger_is_better = "doubled", "Doubled", "ms", False
    definition, source = "twice the latency", "test"

    def values(self, batch):
        return (batch["end_ns"] - batch["start_ns"]) / 5e5


class Exploding(Doubled):
    tag = "exploding"

    def values(self, batch):
        message = "no such column"
        raise KeyError(message)


class Misshapen(Doubled):
    tag = "misshapen"

    def values(self, batch):
        return np.zeros(1)


def test_a_strangers_metric_joins_and_a_broken_one_harms_nobody(tmp_path, host):
    """The stranger's value for a failed request is ignored: it can't enter a latency."""
    for cls in (Doubled, Exploding, Misshapen):
        host.register("metric", cls.tag, cls)
    run_of(tmp_path, [answered(0, start_ms=0, ttft_ms=20), refused(1, start_ms=0, after_ms=90)])
    with open_run(tmp_path, host) as view:
        metrics, notes = view.summary.metrics, view.summary.run.notes
    assert (metrics["doubled"].avg, metrics["doubled"].count) == (40, 1)
    assert metrics["request_latency"].avg == 20
    assert metrics["exploding"].count == metrics["misshapen"].count == 0
    assert any("exploding" in note and "KeyError" in note for note in notes)
    assert any("misshapen" in note and "shape (1,) for 2 rows" in note for note in notes)
    assert view.summary.verdict.status == "SUSPECT"
    assert {c.code for c in view.summary.verdict.causes} == {"high_error_rate", "too_few_samples"}


def test_scratch_files_go_with_the_view_and_with_dead_processes(tmp_path, host):
    run_of(tmp_path, [answered(0, start_ms=0, ttft_ms=20)])
    left = tmp_path / ".results-4194305-dead"
    left.mkdir()
    with open_run(tmp_path, host):
        scratch = list(tmp_path.glob(".results-*"))
        assert len(scratch) == 1
        assert scratch[0] != left
    assert list(tmp_path.glob(".results-*")) == []


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path / "absent", "There is no directory"),
        (lambda path: path, "it has no journal/"),
        (lambda path: path / "run" / "journal", "Try: steelyard report"),
    ],
)
def test_a_wrong_directory_is_named_with_the_next_step(tmp_path, host, make, what):
    (tmp_path / "run").mkdir()
    run_of(tmp_path / "run", [answered(0, start_ms=0, ttft_ms=20)])
    with pytest.raises(JournalError, match=what):
        open_run(make(tmp_path), host)


def test_a_journal_that_does_not_say_what_was_run_is_refused(tmp_path, host):
    journal = write_journal(tmp_path, fake_plan(tmp_path), [])
    (journal / "controller.journal").unlink()
    with pytest.raises(JournalError, match="does not say what was run"):
        open_run(tmp_path, host)


def test_the_plan_can_be_read_without_the_records(tmp_path):
    plan = run_of(tmp_path, [answered(0, start_ms=0, ttft_ms=20)])
    assert read_plan(tmp_path) == plan


def test_a_verdict_hints_at_the_words_that_the_errors_have_in_full(tmp_path, host):
    words = "the model is being loaded, please come back in a while; " * 4
    run_of(tmp_path, [refused(0, start_ms=0)], messages={ErrorKind.HTTP_STATUS: words})
    with open_run(tmp_path, host) as view:
        summary = view.summary
    assert summary.errors[0].example == words
    (cause,) = [c for c in summary.verdict.causes if c.code == "all_failed"]
    assert "(the model is being loaded, please come back in a while; t...)" in cause.message
