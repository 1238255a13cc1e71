"""The query face: made from journals, brought up to date, swapped in whole."""

import math
import shutil
import subprocess
import sys
import threading

import pytest
from small_disk import small_disk

from steelyard.kernel.errors import FileError, JournalError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track import index
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.reader import facts_of
from steelyard.runtime.track.writer import RunWriter
from steelyard.testing.journals import answered, fake_plan, record_batch, write_journal


def ask(store, sql):
    with index.opened(store) as connection:
        return connection.execute(sql).fetchall()


def test_runs_are_found_with_their_metrics_and_parameters(store, make_run):
    make_run("a", [(0, {"loss": 1.0}), (1, {"loss": 0.5})], params={"lr": 0.1, "opt": "sgd"})
    assert ask(store, "SELECT run_id, name, status FROM runs") == [("a", "name of a", "finished")]
    assert ask(store, "SELECT name, count, last, last_step, low, high, mean FROM metrics") == [
        ("loss", 2, 0.5, 1, 0.5, 1.0, 0.75)
    ]
    assert ask(store, "SELECT name, value, number FROM params ORDER BY name") == [
        ("lr", "0.1", 0.1), ("opt", '"sgd"', None),
    ]  # fmt: skip


def test_nan_and_infinities_are_kept_and_marked(store, make_run):
    values = [math.nan, math.inf, -math.inf, 2.0]
    make_run("a", [(i, {"m": value}) for i, value in enumerate(values)])
    rows = ask(store, "SELECT value, non_finite FROM points ORDER BY step")
    assert math.isnan(rows[0][0])
    assert [mark for _, mark in rows] == ["nan", "+inf", "-inf", ""]
    assert [value for value, _ in rows[1:]] == values[1:]
    assert ask(store, "SELECT low, high, mean, non_finite FROM metrics") == [(2.0, 2.0, 2.0, 3)]


def test_only_what_changed_is_read_again(store, make_run):
    for number in range(5):
        make_run(f"r{number}", [(0, {"m": 1.0})])
    assert index.refresh(store) == 5
    assert index.refresh(store) == 0
    make_run("r5", [(0, {"m": 2.0, "n": 3.0})])
    assert index.refresh(store) == 1
    assert ask(store, "SELECT count(*) FROM runs") == [(6,)]
    assert ask(store, "SELECT run_id, last FROM metrics WHERE name = 'n'") == [("r5", 3.0)]
    assert index.refresh(store, anew=True) == 6


def test_what_a_killed_builder_left_is_removed_by_the_next(store, make_run):
    """An index may be large, and a full disk is when builders die."""
    make_run("a", [(0, {"m": 1.0})])
    for suffix in ("", ".wal"):
        (store.root / f".index.0123456789ab.tmp.duckdb{suffix}").write_bytes(b"half")
    index.refresh(store)
    assert not [path.name for path in store.root.iterdir() if ".tmp" in path.name]


def test_a_running_run_is_read_on_and_a_deleted_one_is_gone(store, make_run):
    writer = make_run("a", [(0, {"m": 1.0})], status=None)
    make_run("b", [(0, {"m": 7.0})])
    assert ask(store, "SELECT status FROM runs ORDER BY run_id") == [("running",), ("finished",)]
    writer.metrics(1, {"m": 2.0})
    assert ask(store, "SELECT last, count FROM metrics WHERE run_id = 'a'") == [(2.0, 2)]
    shutil.rmtree(store.place("b").path)
    assert ask(store, "SELECT run_id FROM runs") == [("a",)]
    assert ask(store, "SELECT DISTINCT run_id FROM points") == [("a",)]


def test_a_run_whose_process_died_becomes_killed_though_no_file_changed(store, make_run):
    writer = make_run("a", status=None)
    assert ask(store, "SELECT status FROM runs") == [("running",)]
    writer.close()
    assert ask(store, "SELECT status FROM runs") == [("killed",)]


def test_a_directory_that_can_not_be_read_is_named_and_harms_nobody(store, make_run):
    make_run("a")
    bad = store.place("bad")
    bad.journal.mkdir(parents=True)
    with index.opened(store) as connection:
        ((where, why),) = index.problems(connection)
        assert connection.execute("SELECT run_id FROM runs").fetchall() == [("a",)]
    assert where == str(bad.path)
    assert "no journal" in why
    assert index.refresh(store) == 0


def test_looking_makes_no_store(store):
    assert ask(store, "SELECT count(*) FROM runs") == [(0,)]
    assert not store.root.exists()


def test_a_store_that_can_not_be_written_is_read_all_the_same(store, make_run, monkeypatch):
    make_run("a", [(0, {"m": 1.0})])
    monkeypatch.setattr(index.os, "access", lambda *_: False)
    assert ask(store, "SELECT run_id, last FROM metrics JOIN runs USING (run_id)") == [("a", 1.0)]
    assert not store.index.exists()


@pytest.mark.parametrize("junk", [b"", b"not a database" * 100])
def test_an_index_that_is_none_is_made_anew(store, make_run, junk):
    make_run("a")
    store.index.write_bytes(junk)
    assert ask(store, "SELECT run_id FROM runs") == [("a",)]


def test_an_index_of_another_version_is_made_anew(store, make_run):
    make_run("a")
    index.refresh(store)
    connection = index.connect(store.index, read_only=False)
    connection.execute("UPDATE meta SET version = 0")
    connection.close()
    assert ask(store, "SELECT version FROM meta") == [(index.VERSION,)]


_READER = """
import sys
from steelyard.runtime.track.index import connect
connection = connect(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
print(connection.execute("SELECT count(*) FROM runs").fetchall()[0][0], flush=True)
"""


@pytest.mark.slow
def test_a_reader_in_another_process_neither_waits_nor_is_waited_for(store, make_run):
    make_run("a")
    index.refresh(store)
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(store.index)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert reader.stdout.readline() == "open\n"
    make_run("b")
    assert ask(store, "SELECT count(*) FROM runs") == [(2,)]
    out, _ = reader.communicate("\n", timeout=100)
    assert out == "1\n", "it keeps the file that it opened"


def test_several_may_find_it_stale_at_once(store, make_run):
    for number in range(20):
        make_run(f"r{number:02}", [(0, {"m": 1.0})])
    results = []

    def count():
        results.append(index.refresh(store))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert ask(store, "SELECT count(*) FROM runs") == [(20,)]
    assert [path.name for path in store.root.iterdir() if path.name.endswith(".tmp.duckdb")] == []


def test_a_benchmark_is_a_run_among_others(store, make_run, tmp_path):
    make_run("a")
    directory = tmp_path / "artifacts" / "bench1"
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(10)]
    write_journal(directory, fake_plan(directory), [record_batch(rows)])
    found = ask(store, "SELECT kind, project, status FROM runs ORDER BY kind")
    assert found == [("bench", "bench", "finished"), ("track", "p", "finished")]
    params = dict(ask(store, "SELECT p.name, value FROM params p JOIN runs USING (run_id) "
                             "WHERE kind = 'bench'"))  # fmt: skip
    assert params["phases.0.name"] == '"profiling"'
    assert RunPlace(directory, is_bench=True).fingerprint()


def test_a_full_disk_is_said_and_the_runs_are_whole(tmp_path, make_run, store):
    make_run("a", [(step, {f"m{i}": float(step) for i in range(50)}) for step in range(100)])
    with small_disk(tmp_path / "small", 300) as disk:
        shutil.copytree(store.runs, disk / "runs")
        full = Store(disk)
        room = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(b"x" * (room - 60_000))
        with pytest.raises(FileError, match=r"Can't write .*(index|small)"):
            index.refresh(full)
        assert not full.index.exists()
        assert len(list(facts_of(full.place("a")))) == 102


def test_a_store_that_can_not_be_made_names_what_to_set(tmp_path):
    (tmp_path / "file").write_text("in the way")
    place = Store(tmp_path / "file").place("a")
    with pytest.raises(JournalError, match="Set STEELYARD_TRACK_DIR, or pass directory="):
        RunWriter(place, "a", SystemClock())


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (RuntimeError("Query interrupted"), KeyboardInterrupt),
        (RuntimeError("another"), RuntimeError),
    ],
)
def test_what_duckdb_makes_of_an_interrupt_is_one_again(store, raised, seen):
    with pytest.raises(seen), index.opened(store):
        raise raised
