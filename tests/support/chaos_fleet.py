"""What faults are judged by: who wrote what into a ledger, and what each attempt left behind.

Both are truths beside the fleet's own: a trigger of the database notes each change of a task with
the session that made it, and each attempt writes its fencing token into files.
"""

import contextlib
import sqlite3
import sys
import time
from collections import defaultdict

import msgspec
import psycopg
from fleet_service import FleetService, wait_for

from steelyard.domain.fleet.model import Attempt, Ending, Task

_TRIGGER = """
CREATE TABLE chaos_writes (
    number BIGSERIAL, session TEXT, epoch BIGINT, task_id TEXT, state TEXT, at TIMESTAMPTZ);
CREATE FUNCTION chaos_note() RETURNS trigger AS $$ BEGIN
    INSERT INTO chaos_writes (session, epoch, task_id, state, at)
    SELECT current_setting('application_name'), epoch, NEW.task_id, NEW.state, clock_timestamp()
    FROM fleet_leader WHERE id = 1;
    RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER chaos AFTER INSERT OR UPDATE ON fleet_tasks
    FOR EACH ROW EXECUTE FUNCTION chaos_note();
"""
_TASK = msgspec.msgpack.Decoder(Task)
QUICK = (
    "--slots", "6", "--engine-option", "local.detect=false", "--rate", "1000",
    "--scheduler", "priority_based",
)  # fmt: skip


def plain(url):
    """Return a ledger's URL as libpq takes it."""
    return url.replace("+psycopg", "")


def served(directory, url, *flags, **more):
    """Return a coordinator of many, with its service and its worker."""
    directory.mkdir()
    return FleetService(directory, "--ledger", url, "--stand-by", *QUICK, *flags, **more)


def task(name, seconds, place):
    """Return a task whose attempts say in files that they begin and end, under which token."""
    mine = '"$STEELYARD_FLEET_TASK $STEELYARD_FLEET_TOKEN"'
    shell = f"echo {mine} >> {place}/begun; sleep {seconds}; echo {mine} >> {place}/ended; "
    shell += "echo $STEELYARD_FLEET_TOKEN"
    return {
        "task_id": name, "kind": "command", "payload": {"shell": shell}, "losses_max": 20,
        "backoff": {"first_s": 0.1, "max_s": 0.5},
    }  # fmt: skip


def said(path):
    """Return the tokens that attempts wrote into a file, by task."""
    tokens = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else ():
        name, token = line.split()
        tokens[name].append(int(token))
    return tokens


class Witness:
    """Notes each change of a task in a ledger in PostgreSQL, from now on."""

    def __init__(self, url):
        self.url = plain(url)
        with psycopg.connect(self.url) as connection:
            connection.execute(_TRIGGER)

    def rows(self, query):
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def completed(self):
        ((count,),) = self.rows("SELECT count(*) FROM fleet_tasks WHERE state = 'completed'")
        return count

    def running(self):
        ((count,),) = self.rows("SELECT count(*) FROM fleet_tasks WHERE state = 'running'")
        return count

    def epoch(self):
        ((epoch,),) = self.rows("SELECT epoch FROM fleet_leader")
        return epoch

    def next_write_s(self, epoch, within_s=90.0):
        """Wait for the first change under a later epoch; return how long that took."""
        begun_s = time.monotonic()
        query = f"SELECT 1 FROM chaos_writes WHERE epoch > {epoch} LIMIT 1"
        wait_for(lambda: self.rows(query), within_s, "a failover")
        return time.monotonic() - begun_s

    def judge(self, names, place):
        """Check that nothing is lost, nothing twice, and that each epoch had one writer."""
        states = dict(self.rows("SELECT task_id, state FROM fleet_tasks"))
        assert states == dict.fromkeys(names, "completed"), "nothing is lost"
        writes = self.rows(
            "SELECT session, epoch, task_id, state FROM chaos_writes ORDER BY number"
        )
        writers = list(dict.fromkeys((epoch, session) for session, epoch, *_ in writes))
        epochs = [epoch for epoch, _ in writers]
        assert epochs == sorted(set(epochs)), f"an epoch has one writer: {writers}"
        order = [epoch for _, epoch, *_ in writes]
        assert order == sorted(order), "nothing is written under an epoch that is over"
        accepted = [name for _, _, name, state in writes if state == "completed"]
        assert sorted(set(accepted)) == sorted(names)
        return judge_tokens(self.rows, names, place), len(epochs)


def judge_tokens(rows, names, place):
    """Check which attempt was accepted of each task; return how many came to their end in all.

    `rows` returns what a query finds in the ledger.
    """
    begun, ended = said(place / "begun"), said(place / "ended")
    attempts = defaultdict(list)
    for (data,) in rows("SELECT data FROM fleet_attempts"):
        each = msgspec.msgpack.decode(data, type=Attempt)
        attempts[each.task_id].append(each)
    kept = [data for (data,) in rows("SELECT data FROM fleet_tasks")]
    results = {t.spec.task_id: t.outcome.result for t in map(_TASK.decode, kept)}
    done = [
        name for (name,) in rows("SELECT task_id FROM fleet_events WHERE name = 'task_completed'")
    ]
    assert sorted(done) == sorted(names), "nothing is lost, and nothing accepted twice"
    for name in names:
        good = [a for a in attempts[name] if a.outcome.ending is Ending.SUCCEEDED]
        assert len(good) == 1, f"{name} was accepted {len(good)} times"
        assert good[0].token == max(a.token for a in attempts[name]), "an old token counted"
        assert int(results[name]["stdout"]) == good[0].token
        assert good[0].token in ended[name], "what is called completed came to its end"
        assert len(begun[name]) == len(set(begun[name])), "a token is given once"
    return sum(map(len, ended.values()))


def sqlite_rows(path):
    """Return a function for queries of a ledger's file."""

    def rows(query):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return connection.execute(query).fetchall()

    return rows


def report(capsys, name, **facts):
    """Print what was seen, for who reads CI's log."""
    with capsys.disabled():
        shown = ", ".join(f"{key} {value}" for key, value in facts.items())
        sys.stdout.write(f"\n{name}: {shown}\n")
