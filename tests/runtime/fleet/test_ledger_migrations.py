"""A ledger of any version before becomes today's, and what is no ledger stays as it is."""

import sqlite3
import threading

import pytest
from ledger_rig import leading, new_place, step, task
from sqlalchemy import create_engine, inspect, text

from steelyard import __version__
from steelyard.kernel.errors import FileError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet import ledger_migrations
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_migrations import MIGRATIONS, bring_up
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_rows import packed
from steelyard.runtime.fleet.ledger_tables import METADATA
from steelyard.runtime.fleet.ledger_url import ledger_url_for


def opened(place):
    return Database(ledger_url_for(place), SystemClock())


def run(place, *statements):
    database = opened(place)
    database.write(lambda c: [c.execute(text(each)) for each in statements])
    database.close()


def older(place, version):
    """Make a ledger as a release with that schema left it, with a task that it wrote."""
    database = opened(place)
    database.write(lambda c: bring_up(c, "old", 1, MIGRATIONS[:version]))
    written = {"data": packed(task("kept", user="ada"))}
    row = "'kept', 'pending', 'ada', '', 'command', 0, 5, 0, '', '', :data"
    database.write(lambda c: c.execute(text(f"INSERT INTO fleet_tasks VALUES ({row})"), written))
    database.write(lambda c: c.execute(text("UPDATE fleet_leader SET next_token = 41")))
    database.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_ledger_is_brought_up_with_all_it_holds(place, version):
    older(place, version)
    ledger = leading(place)
    assert ledger.schema == len(MIGRATIONS)
    kept = ledger.load()
    assert (kept.next_token, [t.spec.user for t in kept.tasks]) == (41, ["ada"])
    ledger.commit(step(41))
    ask = LedgerQueries(ledger.database)
    assert len(ask.attempts("t41-0")) == 1
    assert [t.spec.task_id for t in ask.tasks(limit=9).tasks][-1] == "kept"
    ledger.close()


def test_the_migrations_make_the_tables_that_are_used(place):
    SqlLedger(place).close()
    database = opened(place)

    def columns(connection):
        looked = inspect(connection)
        return {
            name: {
                (c["name"], c["nullable"] and not c.get("primary_key"))
                for c in looked.get_columns(name)
            }
            for name in looked.get_table_names()
            if name.startswith("fleet_")
        }

    made = database.read(columns)
    assert made == {
        table.name: {(c.name, bool(c.nullable)) for c in table.columns}
        for table in METADATA.sorted_tables
    }
    database.close()


def test_each_version_says_when_and_by_whom_it_came(place):
    SqlLedger(place).close()
    database = opened(place)
    rows = database.read(lambda c: c.execute(text("SELECT * FROM fleet_schema")).all())
    assert [(row.version, row.applied_by) for row in rows] == [
        (n, __version__) for n in range(1, len(MIGRATIONS) + 1)
    ]
    database.close()


def test_a_ledger_of_a_newer_steelyard_is_left_alone(place):
    SqlLedger(place).close()
    run(place, "INSERT INTO fleet_schema VALUES (99, 1, '9.0')")
    with pytest.raises(UsageError, match="newer Steelyard") as caught:
        SqlLedger(place)
    assert "schema 99" in str(caught.value)
    assert "Install that version" in str(caught.value)


def test_a_migration_that_fails_leaves_the_version_before(place, monkeypatch):
    older(place, 1)
    broken = (MIGRATIONS[0], MIGRATIONS[1], "CREATE TABLE fleet_new (a INTEGER); SELECT nonsense")
    with monkeypatch.context() as patch:
        patch.setattr(ledger_migrations, "MIGRATIONS", broken)
        patch.setattr(bring_up, "__defaults__", (broken,))
        with pytest.raises(FileError):
            SqlLedger(place)
    database = opened(place)
    names = database.read(lambda c: set(inspect(c).get_table_names()))
    assert "fleet_new" not in names
    assert "fleet_inbox" not in names
    assert database.read(lambda c: c.execute(text("SELECT version FROM fleet_schema")).all()) == [
        (1,)
    ]
    database.close()


def test_coordinators_that_start_together_make_it_once(place):
    start, failed = threading.Barrier(4), []

    def go():
        start.wait()
        try:
            SqlLedger(place).close()
        except (FileError, UsageError) as error:
            failed.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE moz_places (id INTEGER)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is no ledger") as caught:
        SqlLedger(str(path))
    assert "moz_places" in str(caught.value)
    with sqlite3.connect(path) as theirs:
        tables = theirs.execute("SELECT name FROM sqlite_master").fetchall()
    theirs.close()
    assert tables == [("moz_places",)]
    assert len(path.read_bytes()) == len(before)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all\n" * 100)
    with pytest.raises(FileError, match="not a database") as caught:
        SqlLedger(str(path))
    assert "Name another path" in str(caught.value)
    assert path.read_text() == "not a database at all\n" * 100


def test_a_postgresql_database_may_be_shared_with_others(tmp_path):
    place = new_place("postgresql", tmp_path)
    engine = create_engine(ledger_url_for(place))
    with engine.begin() as theirs:
        theirs.execute(text("CREATE TABLE tasks (id INTEGER)"))
    engine.dispose()
    ledger = leading(place)
    ledger.commit(step(1))
    ledger.close()
