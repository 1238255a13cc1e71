"""Where a ledger lies, and what is told of that."""

from pathlib import Path

import pytest

from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import (
    ledger_url_for,
    parse_url,
    shown_url,
    without_secrets,
)
from steelyard.runtime.fleet.ports import LedgerGoneError


@pytest.mark.parametrize(
    ("db_path", "url"),
    [
        ("/data/bench.duckdb", "sqlite:////data/bench.ledger.sqlite"),
        ("/data/fleet.db", "sqlite:////data/fleet.db"),
        (Path("/data/x y.duckdb"), "sqlite:////data/x y.ledger.sqlite"),
        ("/data/a?b#c.duckdb", "sqlite:////data/a%3Fb%23c.ledger.sqlite"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u:p%40@h:5/d", "postgresql+psycopg://u:p%40@h:5/d"),
        ("sqlite:////data/f.db", "sqlite:////data/f.db"),
    ],
)
def test_the_ledger_lies_beside_the_face_for_queries(db_path, url):
    assert ledger_url_for(db_path) == url


def test_a_path_is_one_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert ledger_url_for("x.duckdb") == f"sqlite:///{tmp_path}/x.ledger.sqlite"
    assert ledger_url_for("~/x.duckdb") == "sqlite:////home/ada/x.ledger.sqlite"


def test_odd_names_of_files_are_names_of_files(tmp_path):
    """A question mark begins no option, a percent sign no byte."""
    for name in ("a?mode=memory", "b%20c", "d#e", "f g"):
        SqlLedger(str(tmp_path / f"{name}.duckdb")).close()
        assert (tmp_path / f"{name}.ledger.sqlite").stat().st_size > 0


@pytest.mark.parametrize("place", ["", " ", ":memory:", "sqlite://", "mysql://u:sesame@h/d", "://"])
def test_what_can_be_no_ledger_is_refused_without_its_secrets(place):
    with pytest.raises(UsageError) as caught:
        ledger_url_for(place)
    assert "sesame" not in str(caught.value)
    assert "postgresql://user@host/database" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:sesame@db.example:5433/fleet", "postgresql://db.example:5433/fleet"),
        ("postgresql://ada@/fleet?host=/run/pg&sslpassword=sesame", "postgresql:///run/pg/fleet"),
        ("sqlite:////data/fleet.db", "/data/fleet.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert shown_url(parse_url(url)) == shown


def test_what_a_database_says_is_told_without_the_secrets_of_its_url():
    url = parse_url("postgresql://ada:sesame@h/d?sslpassword=second")
    told = without_secrets("bad: password=sesame\n sslpassword=second", url)
    assert told == "bad: password=*** sslpassword=***"


def test_a_server_that_is_not_there_is_named_without_the_password():
    """Port 1 on loopback: nobody listens."""
    place = "postgresql://ada:sesame@127.0.0.1:1/fleet"
    with pytest.raises(LedgerGoneError, match="does not answer") as caught:
        SqlLedger(place, patience_s=0.2)
    seen = caught.value
    text = f"{seen} {seen!r} {seen.__cause__!r}"
    assert "127.0.0.1:1/fleet" in text
    assert "sesame" not in text
    assert seen.exit_code == 4


def test_only_its_owner_can_read_a_new_ledger(tmp_path):
    SqlLedger(str(tmp_path / "deep" / "x.duckdb")).close()
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "deep").iterdir()}
    assert modes["x.ledger.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}


def test_a_path_that_can_be_no_file_is_refused(tmp_path):
    with pytest.raises(SteelyardError, match="it is no file"):
        SqlLedger(str(tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(SteelyardError, match="Can't make the ledger"):
        SqlLedger(str(tmp_path / "file" / "x.duckdb"))


def test_commits_are_durable(tmp_path):
    """SQLite's synchronous FULL (2) in WAL mode syncs the log before a commit returns."""
    database = Database(ledger_url_for(tmp_path / "x.duckdb"), SystemClock())
    asked = "PRAGMA synchronous", "PRAGMA journal_mode"
    said = database.read(lambda c: [c.exec_driver_sql(each).scalar() for each in asked])
    assert said == [2, "wal"]
    database.close()
