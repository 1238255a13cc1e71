"""Runs read from their journals."""

import pytest

from steelyard.kernel.errors import JournalError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.journal_writer import JournalWriter
from steelyard.runtime.track.reader import facts_of, has_writer, read_run


def test_a_writers_lock_tells_that_a_run_runs(store, make_run):
    writer = make_run("a", status=None)
    journal = store.place("a").journal
    assert has_writer(journal)
    assert has_writer(journal), "asking takes nothing"
    writer.close()
    assert not has_writer(journal)
    assert not has_writer(store.root / "none")


def test_asking_does_not_keep_a_writer_out(store, make_run):
    make_run("a", status=None).close()
    for _ in range(50):
        assert not has_writer(store.place("a").journal)
        JournalWriter(store.place("a").journal, "main", run_id="a", clock=SystemClock()).close()


def test_a_run_is_read_while_it_is_written(store, make_run):
    writer = make_run("a", [(0, {"m": 1.0})], params={"lr": 1}, status=None)
    run = read_run(store.place("a"))
    assert (run.run_id, run.status, run.params, run.metrics["m"].count) == (
        "a", "running", {"lr": 1}, 1,
    )  # fmt: skip
    assert run.host_id
    writer.metrics(1, {"m": 2.0})
    assert read_run(store.place("a")).metrics["m"].last == 2.0


def test_events_of_other_kinds_are_passed_over(store, make_run):
    writer = make_run("a", status=None)
    writer._journal.event("fleet.task.leased", {"task": 1})
    assert read_run(store.place("a")).status == "running"


def test_an_event_that_can_not_be_read_names_the_run(store, make_run):
    writer = make_run("a", status=None)
    writer._journal.event("track.metrics", {"step": "x"})
    with pytest.raises(JournalError, match="run a has an event that this version can't read"):
        list(facts_of(store.place("a")))


def test_a_torn_end_loses_only_the_torn_fact(store, make_run):
    make_run("a", [(step, {"m": float(step)}) for step in range(10)], status=None).close()
    file = store.place("a").journal / "main.journal"
    file.write_bytes(file.read_bytes()[:-3])
    run = read_run(store.place("a"))
    assert (run.status, run.metrics["m"].count) == ("killed", 9)
