"""A disk that is full or can't be written stops a coordinator, and harms nothing."""

import subprocess

import pytest
from ledger_rig import leading, step
from small_disk import small_disk

from steelyard.kernel.errors import FileError
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ports import Change

pytestmark = pytest.mark.needs_root


def fill(ledger, made):
    """Commit until that fails, far beyond the room there is."""
    for number in range(1, 1_000):
        ledger.commit(step(number, 20))
        made.append(number)


def test_a_full_disk_is_named_and_what_was_committed_stays(tmp_path):
    with small_disk(tmp_path / "disk", 2_000) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(1_000_000))
        ledger = leading(str(disk / "x.duckdb"))
        made = []
        with pytest.raises(FileError) as caught:
            fill(ledger, made)
        number = len(made)
        assert "disk is full" in str(caught.value)
        assert "Free some space" in str(caught.value)
        filler.unlink()
        assert ledger.load().next_token == number + 1
        ask = LedgerQueries(ledger.database)
        assert ask.task(f"t{number + 1}-0") is None
        assert len(ask.events(limit=10_000)) == number * 20
        # With space it goes on, once it leads anew.
        ledger.lead("me", wait_s=60)
        ledger.commit(step(number + 1, 20))
        assert len(ask.events(limit=10_000)) == (number + 1) * 20
        ledger.close()


def test_a_file_that_can_t_be_written_is_named(tmp_path):
    with small_disk(tmp_path / "disk", 2_000) as disk:
        path = disk / "x.duckdb"
        ledger = leading(str(path))
        ledger.commit(step(1))
        ledger.leadership.resign()
        ledger.close()
        remount = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True)
        with pytest.raises(FileError, match=r"Can't use the ledger .*x\.ledger\.sqlite") as caught:
            SqlLedger(str(path))
        assert "permissions" in str(caught.value)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        again = leading(str(path))
        assert again.load().next_token == 2
        again.commit(Change(next_token=2))
        again.close()
